"""The real pair, from outside: in a real browser, or over HTTP as another identity provider would talk to it."""
