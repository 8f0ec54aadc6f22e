"""What the gateway and the identity provider must agree on.

Everything here serves both programs and knows neither. `claims`, `keys`, `tokens` and `errors` are pure: the same
input gives the same answer, without a clock, a network, a database or Flask. `web` and `serving` are the edge that
both programs need.
"""
