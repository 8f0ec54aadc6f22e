"""Commands for people who work on the project. The gateway and the identity provider do not import them."""
