"""The list of passed checks, for the activity log, has each check that ran, in its order."""

import pytest

from sp.providers.provider import Provider
from sp.signin.passed_checks import passed_checks
from sp.signin.verification import checks_of, verify
from tests.sp.signin.test_verification import KEYS, NOW, STRICT_SETTINGS, provider, token


@pytest.mark.parametrize("settings", [{}, STRICT_SETTINGS], ids=["ordinary", "strict"])
def test_the_list_has_the_signature_and_each_check_that_verify_runs(settings: dict[str, object]) -> None:
    judged: Provider = provider(**settings)
    listed = [check.name for check in passed_checks(verify(token(), judged, KEYS, NOW), judged)]
    assert listed == ["signature", *(check.__name__.removeprefix("check_") for check in checks_of(judged))]
