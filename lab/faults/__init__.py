"""Tokens with one fault: a table of named faults, each with the rule that it breaks.

    from lab.drafts import draft
    from lab.faults import FAULTS, fault_named
    from lab.keys import read_key

    token = fault_named("expired").token(draft(read_key("the shared secret")))

The modules of this package have the faults by subject: signatures, headers, times, contents, spellings, second_use.
"""

from __future__ import annotations

from collections.abc import Mapping

from lab.faults import contents, headers, second_use, signatures, spellings, times
from lab.faults.fault import Fault, Level, NotApplicable

__all__ = ["FAULTS", "Fault", "Level", "NotApplicable", "UnknownFault", "fault_named"]

FAULTS: Mapping[str, Fault] = {
    fault.name: fault
    for group in (
        times.FAULTS,
        signatures.FAULTS,
        headers.FAULTS,
        contents.FAULTS,
        spellings.FAULTS,
        second_use.FAULTS,
    )
    for fault in group
}


class UnknownFault(ValueError):
    """No fault has this name. The message suggests similar names."""


def fault_named(name: str) -> Fault:
    """Return the fault called *name*, or raise UnknownFault."""
    try:
        return FAULTS[name]
    except KeyError:
        from difflib import get_close_matches

        near = get_close_matches(name, FAULTS, 3)
        hint = f"; did you mean {', '.join(near)}?" if near else "; token --list-faults lists them"
        raise UnknownFault(f"unknown fault {name!r}{hint}") from None
