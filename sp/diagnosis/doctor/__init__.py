"""`flask --app sp doctor`: send an attacker's requests through a deployed chain of proxies, and see what arrives.

An echo shows what arrives. It answers only requests with a ticket that is signed with SP_SECRET_KEY.
"""
