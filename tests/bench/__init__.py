"""The benchmarks themselves: the arithmetic of their rows, their report, their load."""
