"""Benchmarks: ratios against named peers that run beside us, in the same run, in turns."""
