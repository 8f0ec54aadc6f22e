"""How passwords are hashed in a program, which the tests in this process make cheaper."""

import importlib.util

from shared import passwords


def test_a_program_hashes_with_the_parameters_that_owasp_recommends() -> None:
    spec = importlib.util.find_spec("shared.passwords")
    assert spec
    assert spec.loader
    as_a_program_has_it = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(as_a_program_has_it)
    stored = as_a_program_has_it.hash_password("looking-glass-1865")

    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert as_a_program_has_it.check_password(stored, "looking-glass-1865")
    assert passwords.check_password(stored, "looking-glass-1865")
    assert passwords.needs_rehash(stored), "the hashes of the tests are as dear as those of a program"
