"""Read what a request says about its client and about identity, and decide what to trust.

Pure code: it does no I/O and reads no clock.
"""
