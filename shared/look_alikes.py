"""Replace Cyrillic letters that look like Latin letters.

Some published samples have an `exp` whose letters are Cyrillic. The difference is invisible on a screen, so the text of
the rejection names it. Pure code: it does no I/O and reads no clock.
"""

# Cyrillic lower-case letters, escaped because they look the same in source code, and their Latin look-alikes.
_LATIN = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u0501\u04bb\u043a\u0432\u043c\u043d\u0442\u043f\u04cf",
    "aeopcyxijsdhkbmhtnl",
)


def looks_like(name: str) -> str:
    """Return *name* in lower case, each Cyrillic letter replaced by the Latin letter that it looks like."""
    return name.lower().translate(_LATIN)
