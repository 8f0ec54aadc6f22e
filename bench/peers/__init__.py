"""The peers with which we compare: the same functions, written in the usual way."""
