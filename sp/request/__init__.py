"""Pure: what a request says about itself and about identity, and which part of that may be trusted."""
