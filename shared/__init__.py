"""Contain what the gateway and the identity provider must agree on.

Both programs import these modules. The modules import neither program. `claims`, `keys`, `tokens` and `errors` are
pure: they use no clock, no network, no database and no Flask. Apart from random numbers in new keys and in ES
signatures, the same input gives the same answer. `web` contains the common parts of the web pages, and `serving` starts
the server of each program.
"""
