"""Test single sign-on by signed tokens: other people's programs, and your own, without our tests.

    python -m lab --help          from a checkout
    lychgate lab --help           from an installation, where this package is `lychgate.lab`

Everything here needs the standard library and what the two programs need; `browser` and `journeys` need Playwright too.
It never runs in production: it mints tokens for everyone and asks for no password.
"""
