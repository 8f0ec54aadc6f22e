"""Attacks, each named by what it does: a good thing, changed in one place."""
