"""Apply the providers of the operator's file, SP_CONFIG, at start and when the file has changed.

In a demo, if the file names no provider or there is no file, a provider for the demo's identity provider is added.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shared import demo
from sp.providers.apply import ProviderStore

log = logging.getLogger("lychgate")


def apply_file(
    providers: ProviderStore, document: Mapping[str, Any], *, has_file: bool, demo_in: Path | None, removes: bool
) -> None:
    """Apply the providers in *document*. *demo_in* is a demo's folder. Raises ProvidersRefused.

    If the file no longer names a provider, the provider is removed if *removes* is true. Otherwise it is disabled.
    """
    tables = document.get("providers", {})
    if has_file:
        applied = providers.apply(tables, actor="SP_CONFIG", managed_by_file=True, removes=removes)
        for name in applied.disabled:
            log.warning(
                "SP_CONFIG no longer names the provider %s: it is disabled, and removed at the next start", name
            )
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
