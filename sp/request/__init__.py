"""Pure: the claims of a request about itself and about identity, and which of them to trust."""
