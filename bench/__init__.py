"""Compare our programs with named peers. In each run, ours and the peers are measured in turns on the same machine."""
