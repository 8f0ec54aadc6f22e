"""The names of the gateway's settings. A variable that begins with SP_ and is not listed here stops the start."""

from __future__ import annotations

from shared.setting_names import SettingNames

NAMES = SettingNames(
    "SP_",
    frozenset(
        {
            "SP_ACTIVITY_DAYS",
            "SP_APP",
            "SP_CONFIG",
            "SP_EXTERNAL_URL",
            "SP_IDENTITY_HEADERS",
            "SP_INSTANCE",
            "SP_JWKS_MAX_STALE",
            "SP_METRICS_FOLDER",  # from run_sp.py to its workers
            "SP_PREFIX",
            "SP_SEAT_LIMIT",
            "SP_SESSION_CACHE",
            "SP_SESSION_IDLE",
            "SP_SESSION_LIFETIME",
            "SP_SIGN_IN_ON_401",
            "SP_TRUSTED_PROXIES",
        }
    ),
    secret=frozenset({"SP_DATABASE_URL", "SP_REPLAY_URL", "SP_SECRET_KEY", "SP_SECRET_KEY_FALLBACKS"}),
)
