"""Attacks on the gateway from outside: raw bytes over sockets, through every server and proxy that we name."""
