"""Contain what the gateway and the identity provider must agree on.

Both programs import these modules. The modules import neither program. `claims`, `keys`, `tokens` and `errors` are
pure: the same input gives the same answer, without a clock, a network, a database or Flask. `web` and `serving` are the
web pages and the server of both programs.
"""
