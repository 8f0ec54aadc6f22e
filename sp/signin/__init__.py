"""From a token or a password to an open session."""
