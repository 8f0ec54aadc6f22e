"""Test single sign-on by signed tokens: other people's programs, and your own, without our tests.

    python -m lab --help          from a checkout
    lychgate lab --help           from an installation, where this package is `lychgate.lab`

It needs only the standard library and the packages of the two programs; `browser` and `journeys` also need Playwright.
Never run it in production, because it issues tokens to everyone without a password.
"""
