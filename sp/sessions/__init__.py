"""Sessions: stored, named by a cookie, ended and listed."""
