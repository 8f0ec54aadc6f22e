"""List the gateway's settings and their descriptions. The gateway does not start with an unknown variable SP_….

docs/reference/settings.md is made from this list.
"""

from __future__ import annotations

from shared.branding import meanings
from shared.setting_names import SettingNames

NAMES = SettingNames(
    "SP_",
    {
        **meanings("SP_"),
        "SP_ACTIVITY_DAYS": "Days that the activity log and the list of changed settings are kept. 0: forever.",
        "SP_APP": "The protected application: `module:callable`, or `module:factory()`. Empty: a sample page.",
        "SP_CONFIG": "TOML file with identity providers (`[providers.NAME]`), access rules (`[[rules]]`), further "
        "sites (`[sites.NAME]`) and tests of the rules (`[[tests]]`). Read again when it has changed.",
        "SP_EXTERNAL_URL": "The URL that people use, without a path. https turns on `Secure` and `__Host-` cookies.",
        "SP_IDENTITY_HEADERS": "Headers that carry the identity: `remote`, `x-forwarded` or `x-auth-request`. "
        "Empty: none in process, `remote` behind a proxy.",
        "SP_INSTANCE": "Folder for the SQLite database and for the generated secrets of a demo.",
        "SP_JWKS_MAX_STALE": "Seconds that a provider's last good keys stay in use while its `jwks_url` fails. "
        "At least 300.",
        "SP_LOG": "`text` or `json`: one object a line, with `event`, `reference`, `code` and `request_id`.",
        "SP_METRICS_FOLDER": "Set by `run_sp.py` for its worker processes, which keep their counters there. "
        "Do not set it yourself.",
        "SP_PREFIX": "Path under which all of the gateway's own URLs move, such as `/gate`.",
        "SP_SEAT_LIMIT": "Largest number of enabled accounts. 0: no limit.",
        "SP_SESSION_CACHE": "Seconds that a worker trusts a session without asking the database: the longest time "
        "that a sign-out or a changed setting takes to reach every worker. 0 asks every time.",
        "SP_SESSION_IDLE": "Seconds without a request after which a session ends.",
        "SP_SESSION_LIFETIME": "Seconds after which a session ends in any case.",
        "SP_SIGN_IN_ON_401": "`yes`: when the application answers 401 to a person without a session, start a sign-in.",
        "SP_TRUSTED_PROXIES": "IP addresses and networks, separated by commas, whose `X-Forwarded-*` headers and "
        "forward-auth questions are trusted. List only your own proxies.",
    },
    secret={
        "SP_DATABASE_URL": "`sqlite:///PATH` or `postgresql+psycopg://USER@HOST/NAME`.",
        "SP_REPLAY_URL": "`redis://`, `rediss://` or `unix://`: keep spent tokens in Redis. Empty: in the database.",
        "SP_SECRET_KEY": "Signs cookies and encrypts stored keys: 32 characters or more. Empty: a demo, which only "
        "this machine can reach.",
        "SP_SECRET_KEY_FALLBACKS": "Earlier secret keys, separated by commas or line ends, that are still accepted.",
    },
)
