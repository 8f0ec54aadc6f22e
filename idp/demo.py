"""Define the only service of the demo: the gateway that runs on the same machine, on any port."""

from __future__ import annotations

from datetime import UTC, datetime

from idp.config import Settings, demo_pair
from idp.services import Service, ServiceKey, with_keys
from idp.services_file import parse_service
from shared.demo import SERVICE
from shared.keys import load_key


def service(settings: Settings) -> Service | None:
    """Return the service `demo`. Return None if this is not a demo, or if IDP_CONFIG defines services.

    The service is built for each request. So the two programs can start in either order, and on any ports.
    """
    if not settings.demo or settings.services:
        return None
    pair = demo_pair(settings)
    table = {
        "preset": "lychgate",
        "display_name": "Lychgate demo",
        "return_url": f"{pair.sp_url}/sso/login/jwt",
        "delivery": "form",  # keeps tokens out of URLs, histories and logs
        "backchannel_logout_url": f"{pair.sp_url}/sso/logout/backchannel",
    }
    key = ServiceKey(load_key(pair.token_key, "HS256"), datetime(1970, 1, 1, tzinfo=UTC))
    return with_keys(parse_service(SERVICE, table).service, [key])
