"""An explanation names the shadow rule that would change the decision, also where a path has several readings."""

import pytest

from sp.policy.decision import Policy, Rule
from sp.policy.explain import Someone, explain
from sp.routes import Routes

DELETE = frozenset({"DELETE"})
STAFF = Someone("alice@example.com", ("staff",))
OPEN = Rule("/pub;v/x", allow="anyone")
ALL_OPEN = Rule("/pub/", allow="anyone")
PRIVATE = Rule("/pub/", allow="members", groups=frozenset({"admins"}))


@pytest.mark.parametrize(
    ("rules", "url", "person", "wanted"),
    [
        # Servers that drop what follows a semicolon read /pub;v/x as /pub/x.
        (
            [OPEN, Rule("/pub/x", allow="anyone", shadow=True), PRIVATE],
            "/pub;v/x",
            STAFF,
            (2, "allow it"),
        ),
        ([Rule("/pub/x", allow="signed-in", shadow=True), PRIVATE], "/pub/x", STAFF, (1, "allow it")),
        ([Rule("/pub/x", allow="anyone"), Rule("/pub/", allow="anyone", shadow=True)], "/pub/x", STAFF, None),
        (
            [Rule("/pub/x", allow="anyone", shadow=True), ALL_OPEN],
            "/pub/x",
            STAFF,
            (1, "allow it too"),
        ),
        (
            [Rule("/x", DELETE, "anyone", shadow=True), Rule("/x", DELETE, "members"), Rule("/", allow="anyone")],
            "/x?_method=DELETE",
            STAFF,
            (1, "allow it"),
        ),
        (
            [Rule("/a%2Fb", allow="anyone", shadow=True), Rule("/a%2Fb", allow="members"), Rule("/", allow="anyone")],
            "/a%2Fb",
            STAFF,
            (1, "allow it"),
        ),
        ([Rule("/other/", allow="anyone", shadow=True), PRIVATE], "/pub/x", STAFF, None),
    ],
)
def test_only_the_shadow_rule_that_makes_the_difference_is_named(
    rules: list[Rule], url: str, person: Someone, wanted: tuple[int, str] | None
) -> None:
    found = explain(Policy(rules), Routes(""), "POST", url, person).shadow
    assert found == (f"the shadow rule {wanted[0]} would {wanted[1]}" if wanted else "")
