"""Test single sign-on by signed tokens, in your own programs and in other people's programs.

    python -m lab --help          from a checkout
    lychgate lab --help           from an installation, where this package is `lychgate.lab`

The lab does not need our test suite. It needs only the standard library and the packages that the gateway and the
identity provider need; `pytest_plugin` also needs pytest, and `browser` and `journeys` need Playwright. Never run it in
production, because it issues tokens to everyone without a password.
"""
