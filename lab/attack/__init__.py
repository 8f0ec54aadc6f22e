"""Send valid and faulty tokens to another service provider, and tell which of them it accepts.

`target` sends a token as a browser would, `observation` decides whether an answer means "accepted", and `run` goes
through the faults.
"""
