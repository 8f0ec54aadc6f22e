"""The examples, each started as its first lines say, and used in a real browser."""
