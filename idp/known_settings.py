"""List the settings of the identity provider, and what each does.

If a variable begins with IDP_ and is not in this list, the program does not start, unless the services file names the
variable. A secret of this list may also be given as NAME_FILE. docs/reference/settings.md is made from this list.
"""

from __future__ import annotations

from shared.branding import meanings
from shared.setting_names import SettingNames

NAMES = SettingNames(
    "IDP_",
    {
        **meanings("IDP_"),
        "IDP_ACTIVITY_DAYS": "Days that the audit is kept. 0 keeps it forever. Refusals: at most 100,000 rows anyway.",
        "IDP_CONFIG": "TOML file with the services to sign people in to (`[services.NAME]`).",
        "IDP_EXTERNAL_URL": "The URL that people use, without a path. https turns on `Secure` and `__Host-` cookies.",
        "IDP_INSTANCE": "Folder for the SQLite database and for the generated secrets of a demo.",
        "IDP_LDAP_BIND_DN": "`examples/ldap_people.py`: the entry that searches the directory.",
        "IDP_LDAP_GROUPS": "`examples/ldap_people.py`: the base DN of groups.",
        "IDP_LDAP_PEOPLE": "`examples/ldap_people.py`: the base DN of people.",
        "IDP_LDAP_URL": "`examples/ldap_people.py`: the URL of the LDAP server.",
        "IDP_LOG": "`text` or `json`: one object a line, with `event`, `reference`, `code` and `request_id`.",
        "IDP_PEOPLE": "`module:function` that opens the directory of people.",
        "IDP_SESSION_IDLE": "Seconds without a request after which a session ends. At least 60.",
        "IDP_SESSION_LIFETIME": "Seconds after which a session ends in any case. At least 60.",
        "IDP_STAY_SIGNED_IN": 'Seconds for people who tick "stay signed in". 0 removes the box.',
        "IDP_TRUSTED_PROXIES": "IP addresses and networks, separated by commas, whose `X-Forwarded-*` headers are "
        "trusted. List only your own proxies.",
    },
    secret={
        "IDP_DATABASE_URL": "`sqlite:///PATH` or `postgresql+psycopg://USER@HOST/NAME`.",
        "IDP_LDAP_BIND_PASSWORD": "`examples/ldap_people.py`: the password of `IDP_LDAP_BIND_DN`.",
        "IDP_PEOPLE_DATABASE_URL": "`examples/sql_people.py`: the database that holds your table of people.",
        "IDP_SECRET_KEY": "Signs cookies and encrypts stored keys: 32 characters or more. Empty: a demo, which only "
        "this machine can reach.",
        "IDP_SECRET_KEY_FALLBACKS": "Earlier secret keys, separated by commas or line ends, that are still accepted.",
    },
)
