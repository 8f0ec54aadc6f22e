"""Each cached result of the gateway applies to exactly one header, one path and one method."""

from __future__ import annotations

from pathlib import Path

import pytest

from sp.gateway.access import MAX_REMEMBERED, MAX_REMEMBERED_LENGTH, CookieReader
from sp.policy import decision as policy
from sp.policy.decision import Policy, Rule, Verdict
from sp.sessions.store import ID_LENGTH, hash_id
from tests.sp.gateway.gate import make_gate

MINE, OTHER = "m" * ID_LENGTH, "o" * ID_LENGTH


@pytest.mark.parametrize(
    ("header", "secret", "others"),
    [
        (f"sp_session={MINE}", MINE, ""),
        (f"theme=dark; sp_session={MINE}; lang=de", MINE, "theme=dark; lang=de"),
        (f"__Host-sp_session={MINE}", None, ""),
        (f"sp_session={MINE}; sp_session={OTHER}", None, ""),
        (f"sp_session={MINE[1:]}", None, ""),
        ("theme=dark", None, "theme=dark"),
        (
            "filler=" + "x" * MAX_REMEMBERED_LENGTH + f"; sp_session={MINE}",
            MINE,
            "filler=" + "x" * MAX_REMEMBERED_LENGTH,
        ),
    ],
)
def test_a_cookie_header_is_read_alike_the_second_time(header: str, secret: str | None, others: str) -> None:
    reader = CookieReader("sp_session")
    expected = (hash_id(secret) if secret else None, others)
    assert (reader.read(header), reader.read(header)) == (expected, expected)


def test_a_header_of_another_session_is_never_taken_for_one_that_is_remembered() -> None:
    reader = CookieReader("sp_session")
    found = {reader.read(f"sp_session={character * ID_LENGTH}").id_hash for character in "abcdefgh"}
    assert len(found) == 8


def test_what_is_remembered_of_a_path_depends_on_method_and_person(monkeypatch: pytest.MonkeyPatch) -> None:
    class Carol:
        email = "carol@example.com"
        groups = ("staff",)

    rules = (Rule("/a/", frozenset({"GET"}), "anyone"), Rule("/a/", allow="members", groups=frozenset({"staff"})))
    for limit in (policy.MAX_REMEMBERED_LENGTH, 3):  # the second: no path is short enough to be remembered
        monkeypatch.setattr(policy, "MAX_REMEMBERED_LENGTH", limit)
        decide = Policy(rules).decide
        for _ in range(2):
            assert decide("GET", "/a/x", None).verdict is Verdict.LET_IN
            assert decide("POST", "/a/x", None).verdict is Verdict.SIGN_IN
            assert decide("POST", "/a/x", Carol()).verdict is Verdict.LET_IN
            assert decide("GET", "/a/../b", Carol()).verdict is Verdict.AMBIGUOUS
            assert decide("GET", "/a/x", None, overrides=["POST"]).verdict is Verdict.SIGN_IN


def test_long_methods_that_strangers_invent_do_not_pile_up() -> None:
    policy_of_none = Policy(())
    for number in range(100):
        assert policy_of_none.decide(f"{'A' * 200_000}{number}", "/x", None).verdict is Verdict.SIGN_IN
    assert policy_of_none._of_plain.cache_info().currsize == 0


@pytest.mark.parametrize("url", ["http://site{0}.example.org", "http://wiki.example.org:{1}"])
def test_attack_strangers_fill_the_caches_of_each_site(tmp_path: Path, url: str) -> None:
    """Twenty sites, on as many hosts or on one, cache no more than one, also where rules have shadows."""
    rules = ['path = "/x"\nshadow = true', 'path = "/"\neverything = true']
    sites = ""
    for number in range(19):
        sites += f'[sites.site{number}]\nurl = "{url.format(number, 9000 + number)}"\n'
        sites += "".join(f'[[sites.site{number}.rules]]\n{rule}\nallow = "anyone"\n' for rule in rules)
    gate = make_gate(tmp_path, [], more=sites)
    parts = list(gate.gateway._steps.keeper._adopted[1].values())
    assert len(parts) == 20
    readers = {id(part._cookies): part._cookies for part in parts}.values()
    assert sum(reader._remembered.cache_info().maxsize for reader in readers) <= MAX_REMEMBERED
    policies = [policy for part in parts for policy in (part._policy, part._trial) if policy is not None]
    assert len(policies) == 39
    assert sum(each._of_plain.cache_info().maxsize for each in policies) <= policy.MAX_REMEMBERED
