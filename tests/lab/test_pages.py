"""Forms as a browser without scripts sends them."""

from lab.pages import Form, forms_of

PAGE = """
<form action="/search"><input name="q" value="not by POST"></form><input name="outside" value="1">
<form method="POST" action="/in"><input type="hidden" name="csrf" value="a&amp;b"><input name="email" type="email">
<input type="password" name="pw"><input type="checkbox" name="stay" value="y"><input type="checkbox" name="on" checked
value="y"><button name="go">Sign in</button></form>
<form method="post"><input name="again"></form>
"""


def test_the_forms_that_are_posted_are_found_with_what_they_send() -> None:
    assert forms_of(PAGE) == [
        Form("/in", {"csrf": "a&b", "email": "", "pw": "", "on": "y"}, "pw"),
        Form("", {"again": ""}),
    ]


def test_a_page_without_a_form_has_none() -> None:
    assert forms_of("<p>nothing</p>") == []
