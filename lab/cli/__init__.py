"""The commands of the lab, one module each: `add_arguments(parser)` and `run(options) -> int`."""


class WrongUsage(Exception):
    """The options contradict each other, or a value is invalid. The program ends with status 2."""
