"""The peers with which we compare our programs: the same functions, written in the usual way."""
