"""What the demo says, and how it ends before its time."""


def say(text: str) -> None:
    print(text, flush=True)  # a reader behind a pipe must see it at once


class DemoFailed(Exception):
    """The demo cannot go on; the text tells the person why."""


class Stopped(Exception):
    """Someone asked the demo to stop while it was still starting."""
