"""`flask --app sp doctor`: send an attacker's requests through a deployed chain of proxies, and see what arrives.

What arrives is shown by an echo, which answers only to a ticket signed with SP_SECRET_KEY.
"""
