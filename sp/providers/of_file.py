"""Apply the providers of the operator's file, SP_CONFIG: at start, and when the file has changed.

A demo gets its own provider if the file names none.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shared import demo
from sp.providers.apply import ProviderStore


def apply_file(
    providers: ProviderStore, document: Mapping[str, Any], *, has_file: bool, demo_in: Path | None
) -> None:  # fmt: skip
    """Apply the providers in *document*. *demo_in* is a demo's folder. Raises ProvidersRefused."""
    tables = document.get("providers", {})
    if has_file:
        applied = providers.apply(tables, actor="SP_CONFIG", managed_by_file=True)
        for name, secret in applied.generated.items():
            print(f"A key was generated for the provider {name}. It is shown once:\n  {secret}", flush=True)
    if demo_in is not None and not tables:
        _apply_demo(providers, demo_in)


def _apply_demo(providers: ProviderStore, instance: Path) -> None:
    present = [item.provider for item in providers.load()]
    if any(provider.name == demo.PROVIDER for provider in present):
        return
    pair = demo.read(instance)
    demo_provider = {
        "display_name": "Demo sign-in",
        "default": not any(provider.default for provider in present),
        "keys": [pair.token_key],
        "login_url": f"{pair.idp_url}/login-token/",
        "logout_url": f"{pair.idp_url}/logout",
        "required_claims": ["iat", "jti", "exp"],
        "mapping": {"id": ["sub", "email"]},
    }
    providers.apply({demo.PROVIDER: demo_provider}, actor="demo")
