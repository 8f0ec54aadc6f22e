"""Decide which groups of a provider's form are folded: groups that equal the preset and have no error.

The form begins with the few settings that the forms in the seed documents have (see docs/protocol.md). Most providers
keep the preset's values for all other settings. So each group shows how many of its settings differ.
"""

from __future__ import annotations

from dataclasses import dataclass

from wtforms import FormField

from sp.admin.hints import GROUPS
from sp.admin.provider_form import ProviderForm
from sp.providers.differences import different_from_preset

NOT_COUNTED = ("preset", "further_claims", "icon_file")  # the preset itself, and parts of other settings


@dataclass(frozen=True)
class SettingsGroup:
    """A group of settings in the form. `different` of its `total` settings differ from the preset."""

    id: str
    title: str
    names: tuple[str, ...]
    total: int
    different: frozenset[str]
    is_open: bool


def folded_groups(form: ProviderForm) -> list[SettingsGroup]:
    """Return the groups of *form*, as it is filled in now."""
    different = different_from_preset(form.settings())
    return [_group(form, id, title, names, different) for id, title, names in GROUPS]


def _group(form: ProviderForm, id: str, title: str, names: tuple[str, ...], different: frozenset[str]) -> SettingsGroup:
    here = different.intersection(names)
    total = len([name for name in names if name not in NOT_COUNTED])
    return SettingsGroup(id, title, names, total, here, bool(here) or any(_is_wrong(form, name) for name in names))


def _is_wrong(form: ProviderForm, name: str) -> bool:
    field = form[name].form.expected if isinstance(form[name], FormField) else form[name]
    return bool(field.errors)
