"""Show a generated key once, with everything that the identity provider needs, and code that signs with it."""

from __future__ import annotations

from flask.typing import ResponseReturnValue

from shared.web import allow_own_script, page
from sp.admin.snippets import key_file_name, snippets
from sp.admin.trial_programs import program_url, trial_programs
from sp.current import components
from sp.providers.provider import Provider


def key_page(provider: Provider, key: str, *, created: bool) -> ResponseReturnValue:
    """Return the only page that shows *key*, the secret or the private key of a pair. The page is never stored.

    `created` is True for the key of a new provider, and False for a further key of a provider. For a download, the page
    sends the key back in a form. The gateway itself could not send the key a second time, and a link would put the key
    into a URL.
    """
    allow_own_script()
    return_url = provider.token_url(components().routes)
    return page(
        "sp/settings/new_key.html",
        201,
        provider=provider,
        key=key,
        key_file=key_file_name(provider),
        return_url=return_url,
        snippets=snippets(provider, return_url),
        programs=trial_programs(provider),
        program_url=program_url(provider),
        created=created,
    )
