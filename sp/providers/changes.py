"""Record a provider change for the audit trail: the settings before and after, and keys only by fingerprint.

For a new provider, the record has the preset, the algorithm, and the settings that differ from the preset. For a
removed provider, it has all settings, because the preset may have changed since. The record is written in the
transaction of the change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from sp.activity import audit
from sp.providers import rows
from sp.providers.differences import UNORDERED
from sp.providers.icon_images import in_words
from sp.providers.provider import Provider
from sp.providers.rows import StoredProvider
from sp.providers.settings_parser import parse_provider

ALWAYS_TOLD = ("preset", "algorithm")

Changes = dict[str, Any]


def created(provider: Provider, fingerprints: Sequence[str]) -> Changes:
    """Return [None, value] for each setting of a new provider that differs from its preset, and for its keys.

    The preset and the algorithm are always included. If the provider does not use a field of the preset's field
    matching, the field has the value "", as in files.
    """
    preset = parse_provider(provider.name, {"preset": provider.preset})
    different = _compare(preset.as_settings(), provider)
    changes = {name: [None, "" if after is None else after] for name, (_before, after) in different.items()}
    settings = provider.as_settings()
    told = {name: [None, settings[name]] for name in ALWAYS_TOLD}
    return told | changes | ({"keys": [None, list(fingerprints)]} if fingerprints else {})


def changed(provider: Provider, stored: StoredProvider, fingerprints: Sequence[str]) -> Changes:
    """Return [before, after] for each setting that differs, and for the keys."""
    changes = _compare(stored.settings, provider)
    before = _fingerprints(stored)
    return changes | ({"keys": [before, list(fingerprints)]} if before != list(fingerprints) else {})


def removed(stored: StoredProvider) -> Changes:
    """Return [value, None] for every setting of the provider, and for its keys."""
    last = {name: [value, None] for name, value in _flat(stored.settings).items()}
    return last | {"keys": [_fingerprints(stored), None]}


def take_default(connection: Connection, provider: Provider, actor: str) -> None:
    """If *provider* becomes the default, record which provider was the default before."""
    if provider.default:
        for other in rows.withdraw_default(connection, except_for=provider.name):
            audit.record(connection, actor, "provider changed", other, {"default": [True, False]})


def _compare(before: Mapping[str, Any], provider: Provider) -> Changes:
    old, new = _flat(before), _flat(provider.as_settings())
    return {
        name: [old.get(name), new.get(name)]
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name) and not _is_reordered(name, old.get(name), new.get(name))
    }


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return *settings* with nested tables flattened, and without unused fields of the field matching."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}.{part}": inner for part, inner in value.items() if inner != "" or name != "mapping"}
        else:
            flat[name] = in_words(value) if name == "icon" and isinstance(value, str) else value
    return flat


def _is_reordered(name: str, before: Any, after: Any) -> bool:
    return name in UNORDERED and set(before or ()) == set(after or ())


def _fingerprints(stored: StoredProvider) -> list[str]:
    return [key.fingerprint for key in stored.keys]
