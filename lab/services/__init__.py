"""Emulated service providers: a module for each product, with its rules as data.

`arrival` is a received sign-in, `rule` checks one aspect of it, `product` defines a product, `memory` holds the state
of an emulator, and `pages` answers over HTTP. lab/service_provider.py runs an emulator.
"""
