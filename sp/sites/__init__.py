"""Several sites behind one gateway: which there are, and how a person gets from one to another."""
