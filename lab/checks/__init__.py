"""Checks of other people's programs, as findings that a person, a program and a CI can read."""
