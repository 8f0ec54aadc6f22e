"""Emulated service providers: a module for each product, with its rules as data.

`arrival` is a sign-in as it came, `rule` decides one thing about it, `product` says what a product is, `memory` is what
an emulator remembers, and `pages` answers over HTTP. lab/service_provider.py runs one.
"""
