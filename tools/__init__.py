"""Commands for people who work on the project; nothing that the two programs import."""
