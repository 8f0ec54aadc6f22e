"""Checks of other people's programs. Their findings can be read by a person, a program and a CI."""
