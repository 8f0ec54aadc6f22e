"""`flask --app sp doctor`: send an attacker's requests through a deployed chain of proxies, and see what arrives.

What arrives is shown by an echo: the gateway, or a small program in place of the application, answers a request with a
description of that request. An echo answers only requests with a ticket that is signed with SP_SECRET_KEY.
"""
