"""Store, find, list and end sessions, and set and read their cookies."""
