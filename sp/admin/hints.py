"""Explain each setting of a provider on its page, and group the settings."""

from __future__ import annotations

PRESET_WORDS = {
    "strict": (
        "Strict",
        "You get code, a test program, and the strictest checks. Their values come from the test. Also for Lychgate's "
        "identity provider.",
    ),
    "ispring": (
        "iSpring Learn",
        "Tokens of the published authentication.php: iat, jti, exp and email. "
        "People are known by their e-mail address.",
    ),
    "zendesk": (
        "Zendesk",
        "Tokens are posted to /access/jwt, are at most three minutes old and have no exp. "
        "Requires iat, jti, email and name.",
    ),
    "loginradius": (
        "LoginRadius",
        "The parameter is jwttoken. Creates no accounts: unknown people go to the error page. "
        "Passes an access token to the page after sign-in.",
    ),
}

HINTS = {
    "name": "You can keep this name. It is part of the Return URL and cannot be changed later. Letters, digits, - "
    "and _.",
    "preset": "Sets the initial values. After that it has only these effects: strict adds its checks, and zendesk "
    "accepts a jti that is a number.",
    "display_name": "The label of the button on the sign-in page.",
    "icon_file": "PNG, JPEG, WebP or SVG, at most 16 KiB, best square. It takes the place of the icon above.",
    "icon": "Shown beside the name on the sign-in page and in the list of providers.",
    "enabled": "Let people sign in to this site with this provider. You can test it while this is off.",
    "default": "Handles the tokens that arrive at the Return URL without a provider name. Sign-ins that start "
    "here go to it without a question. Only one provider can be the default.",
    "show_on_login": "Adds a button to the sign-in page, and to the page where people choose, if there are several "
    "providers.",
    "algorithm": "The algorithm of the signature. One per provider: a token with another algorithm is rejected.",
    "keys": "If your identity provider has a key already, paste it: the shared secret for HS, the public key (PEM, "
    "certificate or JWK) for RS and ES. It is stored encrypted.",
    "jwks_url": "For RS and ES: the https URL where the identity provider publishes its public keys. Overrides the "
    "keys above; no key is made then.",
    "login_url": "The URL of the script that generates the JWT tokens. People who are not signed in are "
    "redirected to it with nonce, which becomes a claim of the token, and return_to, the page to open afterwards.",
    "logout_url": "The URL of the script that signs people out. People who sign out here are redirected to it "
    "with a signed sign-out token. Empty: they are signed out here only.",
    "return_url": "The page that opens after sign-in if the person requested no other page. A path on this "
    "site, or an absolute URL.",
    "error_url": "Where people go when a sign-in is rejected, with code and reference: a public page here, or another "
    "site. Empty: the gateway's own error page.",
    "token_parameter": "The name of the query parameter or form field that carries the token.",
    "deliveries": "A token in a URL ends up in logs and browser histories. A posted form is safer.",
    "clock_skew": "Accepted difference between the clocks of the two servers, in seconds. 0 to 3600.",
    "expiry_adjustment": "Seconds added to exp. A negative number shortens it.",
    "max_age": "Seconds after iat when a token is rejected, regardless of exp.",
    "required_claims": "The token ID (jti) is always mandatory. Without it, a token could be used twice.",
    "further_claims": "Names separated by spaces, for example: email name.",
    "issuer": "Who issued the token. With a value and Match value, tokens of any other issuer are rejected.",
    "audience": "Whom the token was issued for. With a value and Match value, tokens for others are rejected.",
    "auto_create": "Creates an account at a person's first sign-in. Off: the sign-in is rejected with user_unknown.",
    "auto_lookup": "Links an unknown ID to the account with the same e-mail address. Never to an administrator's "
    "account.",
    "update_profile": "Each sign-in updates the fields matched below. Claims missing from a token leave the field "
    "unchanged.",
    "update_email": "Each sign-in also updates the e-mail address, unless another account has it.",
    "email_domains": "Full domain names separated by spaces, without wildcards. If you list any, e-mail addresses at "
    "other domains are rejected. Where people choose a provider, their e-mail address leads to the one that lists its "
    "domain.",
    "unsolicited": "What to do with a sign-in that this browser did not start here. Sign-ins started at the identity "
    "provider look like this, and so do forged ones.",
    "require_nonce": "The token must contain the nonce that this browser received. The identity provider must send "
    "it back.",
    "access_token_delivery": "For a page that calls an API on behalf of the person (LoginRadius). Only the page "
    "after sign-in that is set above receives it, never a page that a link requests.",
    "allow_short_secret": "Only for old identity providers: a secret shorter than the hash can be guessed offline.",
    "admin_group": "Members of this group at the identity provider administer the gateway, in sessions that this "
    "provider opens. The right ends at the next sign-in without the group. Empty: groups give no right.",
    "mapping": "Which claim fills which field. Separate several claims by a space: the first one present is used. Dots "
    "select members of objects. Clear the claims to leave a field out.",
}

# The form begins with the same settings as the forms in the seed documents. The GROUPS that follow are folded.
FRONT = ("enabled", "algorithm", "keys", "login_url", "logout_url")
GROUPS = (
    ("connection", "Preset and connection", ("preset", "jwks_url", "return_url", "allow_short_secret")),
    ("appearance", "On the sign-in page", ("display_name", "icon", "icon_file", "show_on_login", "default")),
    (
        "token",
        "Token requirements",
        ("required_claims", "further_claims", "issuer", "audience", "clock_skew", "expiry_adjustment", "max_age"),
    ),
    (
        "delivery",
        "Token delivery",
        ("token_parameter", "deliveries", "unsolicited", "require_nonce", "error_url", "access_token_delivery"),
    ),
    (
        "accounts",
        "Accounts",
        ("auto_create", "auto_lookup", "update_profile", "update_email", "email_domains", "admin_group"),
    ),
)

FIELDS = {
    "id": "ID (required)",
    "email": "Email (required)",
    "family_name": "Last name",
    "given_name": "First name",
    "name": "Full name",
    "login": "Login",
    "groups": "Groups",
}
