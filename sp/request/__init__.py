"""Pure: what a request reports about itself and about identity, and which of that to trust."""
