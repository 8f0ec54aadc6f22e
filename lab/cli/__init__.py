"""The commands of the lab, one module each: `add_arguments(parser)` and `run(options) -> int`."""


class WrongUsage(Exception):
    """The options make no sense together, or one has no valid value. The program ends with status 2."""
