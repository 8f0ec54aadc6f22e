"""Commands for people who work on the project. The two programs do not import them."""
