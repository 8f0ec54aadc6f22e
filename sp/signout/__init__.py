"""Sign-out, in both directions."""
