"""Print the messages of the demo, and define the errors that end it early."""


def say(text: str) -> None:
    print(text, flush=True)  # so that a pipe receives it at once


class DemoFailed(Exception):
    """The demo cannot continue. The text tells the user why."""


class Stopped(Exception):
    """The user stopped the demo while it was still starting."""
