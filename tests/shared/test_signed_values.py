"""Signed values are those of itsdangerous, in both directions; our keys and the same purpose make them valid."""

import pytest
from itsdangerous import BadSignature, URLSafeSerializer

from shared.signed_values import WORTH_COMPRESSING, SignedValues

NEW, OLD = "the newest key, which signs", "the key before, which still verifies"
VALUES: tuple[object, ...] = (
    [],
    [["a", 1], ["ä", None]],
    "x" * (WORTH_COMPRESSING - 2),
    "x" * 2000,
    ["/page?" + "y=1&" * 500],
)


@pytest.mark.parametrize("value", VALUES)
def test_values_are_those_of_itsdangerous(value: object) -> None:
    ours, theirs = SignedValues([NEW, OLD], "purpose"), URLSafeSerializer([OLD, NEW], salt="purpose")
    assert ours.loads(ours.dumps(value)) == value
    assert theirs.loads(ours.dumps(value)) == value
    assert ours.loads(theirs.dumps(value)) == value


def test_a_long_value_is_compressed() -> None:
    assert len(SignedValues([NEW], "purpose").dumps(["y=1&" * 500])) < 100


def test_the_newest_key_signs_and_all_keys_verify() -> None:
    both = SignedValues([NEW, OLD], "purpose")
    assert SignedValues([NEW], "purpose").loads(both.dumps(1)) == 1
    assert both.loads(SignedValues([OLD], "purpose").dumps(1)) == 1
    with pytest.raises(BadSignature):
        SignedValues([OLD], "purpose").loads(both.dumps(1))


@pytest.mark.parametrize(("key", "purpose"), [("the key of somebody else", "purpose"), (NEW, "another purpose")])
def test_a_value_of_another_key_or_purpose_is_not_valid(key: str, purpose: str) -> None:
    with pytest.raises(BadSignature):
        SignedValues([NEW, OLD], "purpose").loads(SignedValues([key], purpose).dumps(1))


def test_a_changed_value_is_not_valid() -> None:
    values = SignedValues([NEW], "purpose")
    text = values.dumps({"a": 1})
    for changed in (text[1:], text[:-1], "x" + text, text.replace(".", ""), "", "."):
        with pytest.raises(BadSignature):
            values.loads(changed)
