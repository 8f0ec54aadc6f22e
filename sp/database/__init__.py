"""The tables, and the one way to reach them."""
