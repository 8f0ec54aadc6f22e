"""Compare our programs with named peers. In each run, our programs and the peers take turns on the same machine."""
