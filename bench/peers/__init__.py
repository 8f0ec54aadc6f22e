"""What we compare with: the same thing, written as most would write it."""
