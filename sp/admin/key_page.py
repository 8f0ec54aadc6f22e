"""Show a generated key once, with everything that the identity provider needs, and code that signs with it."""

from __future__ import annotations

from base64 import b64encode

from flask.typing import ResponseReturnValue

from shared.web import allow_own_script, page
from sp.admin.snippets import snippets
from sp.current import components
from sp.providers.provider import Provider


def key_page(provider: Provider, key: str, *, created: bool) -> ResponseReturnValue:
    """Return the only page that shows *key*: the secret, or the private half of a pair. The page is never stored.

    *created*: the provider is new, and this is not a further key. The download is in the page itself, because the
    gateway cannot send the key a second time.
    """
    allow_own_script()
    return_url = provider.token_url(components().routes)
    return page(
        "sp/settings/new_key.html",
        201,
        provider=provider,
        key=key,
        key_file=f"data:application/octet-stream;base64,{b64encode(key.encode()).decode()}",
        return_url=return_url,
        snippets=snippets(provider, key, return_url),
        created=created,
    )
