"""The names of all cookies of the gateway.

The application can neither see nor set these cookies, except THEME_NAME. See `sp.sessions.cookies`.

Pure code: it does no I/O and reads no clock.
"""

NAME = "sp_session"
PENDING_PREFIX = "sp_pending_"
HAND_OVER_PREFIX = f"{PENDING_PREFIX}site_"  # for a hand-over that began at a further site
FORM_NAME = "sp_form"
DEVICE_NAME = "sp_device"
LANDED_NAME = "sp_landed"
PROVIDER_NAME = "sp_provider"  # the identity provider that the person chose
THEME_NAME = "sp_theme"  # light or dark: not secret, and applications may follow it
