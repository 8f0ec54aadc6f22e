"""Contain what the gateway and the identity provider must agree on.

Both programs import these modules. The modules import neither program. `claims`, `keys`, `tokens` and `errors` are
pure: the same input gives the same answer, without a clock, a network, a database or Flask. `web` contains the common
parts of the web pages, and `serving` starts the server of each program.
"""
