"""Tell which settings of a provider differ from its preset.

The settings may come from a form that was not validated. An invalid value counts as different.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sp.providers.presets import PRESETS
from sp.providers.settings_parser import parse_provider

UNORDERED = ("deliveries", "required_claims", "email_domains")  # lists whose order does not matter


def different_from_preset(settings: Mapping[str, Any]) -> frozenset[str]:
    """Return the names of the *settings* that differ from the preset named in them."""
    preset = settings.get("preset")
    usual = parse_provider("x", {"preset": preset if preset in PRESETS else "ispring"}).as_settings()
    return frozenset(
        name for name, value in settings.items() if name in usual and not is_same(name, value, usual[name])
    )


def is_same(name: str, one: Any, other: Any) -> bool:
    """Tell whether two values of the setting *name* mean the same."""
    if name in UNORDERED and isinstance(one, list) and isinstance(other, list):
        return {*one} == {*other}
    return bool(one == other)
