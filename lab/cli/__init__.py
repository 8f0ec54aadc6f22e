"""The commands of the lab, one module each: `add_arguments(parser)` and `run(options) -> int`."""
