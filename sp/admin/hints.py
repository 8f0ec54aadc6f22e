"""What each setting of a provider does, said where it stands; and how the settings are grouped on the page."""

from __future__ import annotations

PRESET_WORDS = {
    "ispring": (
        "iSpring Learn",
        "Tokens of the published authentication.php: iat, jti, exp and email. "
        "People are known by their e-mail address.",
    ),
    "zendesk": (
        "Zendesk",
        "Posted to /access/jwt, at most three minutes old, without exp. Wants iat, jti, email and name.",
    ),
    "loginradius": (
        "LoginRadius",
        "The parameter is jwttoken. Nobody is created: unknown people go to the error page. "
        "Hands an access token to the page after sign-in.",
    ),
    "strict": (
        "Strict",
        "Everything that can be checked is checked: issuer, audience, subject, times, nonce, header and e-mail. "
        "For our own identity provider, and whoever sends that much.",
    ),
}

HINTS = {
    "name": "A unique identifier, part of the Return URL. It begins with a letter; letters, digits, - and _; "
    "1 to 60 characters; it is put in lower case.",
    "preset": "What the rules start from. Later, only this of it still matters: strict adds its checks, and zendesk "
    "takes a jti that is a number.",
    "display_name": "What people read on the button of the sign-in page.",
    "enabled": "Off: its tokens are refused and nobody is sent there. A trial sign-in works in either case.",
    "default": "Takes the tokens that come to the Return URL without a name. Only one provider can be it.",
    "show_on_login": "A button on the sign-in page, where there are several providers.",
    "algorithm": "The algorithm used for signing. One per provider: a token that names another one is refused.",
    "keys": "The cryptographic key and the secret part of the JWT token. HS: the shared secret. RS and ES: the public "
    "key (PEM, certificate or JWK). It is kept encrypted and never shown again.",
    "jwks_url": "For RS and ES: where the identity provider publishes its public keys. https; wins over the keys here.",
    "login_url": "The web address of the page where the script generating JWT tokens is kept: people who are not "
    "signed in are sent there.",
    "logout_url": "The web address of the page where the script generating JWT tokens for users' logout is kept: "
    "people who sign out here are sent there, with a signed sign-out token. Empty: sign-out ends here.",
    "return_url": "The web address of the page to which users are directed who have gone through the identity "
    "authentication, if no other page was asked for. A path here, or an absolute address.",
    "error_url": "Where a refused sign-in leads, with code and reference: a page that anybody may see, or another "
    "site. Empty: our own page, which explains it.",
    "token_parameter": "The name of the query parameter or form field that carries the token.",
    "deliveries": "A token in an address is seen by logs and browser histories; a posted form is better.",
    "clock_skew": "How far the two servers' clocks may differ, in seconds. 0 to 3600.",
    "expiry_adjustment": "Seconds by which exp is extended, or shortened with a minus.",
    "max_age": "Seconds since iat after which a token is refused, whatever its exp says.",
    "required_claims": "The token id (jti) always is: without it a token could be used twice.",
    "further_claims": "Names with spaces between, such as: email name.",
    "issuer": "Who has made the token. With a value and Match value, any other issuer is refused.",
    "audience": "For whom the token was made. With a value and Match value, tokens for others are refused.",
    "auto_create": "People who are not here yet are added at their first sign-in. Off: they get user_unknown.",
    "auto_lookup": "An unknown id may join the account that has the same e-mail address. Never an administrator's.",
    "update_profile": "The fields matched below follow the token. A claim that is absent wipes nothing.",
    "update_email": "The account's address follows the token, too, unless another account has it.",
    "email_domains": "Names with spaces between, each in full, without a star. If any is given, addresses of other "
    "domains are refused.",
    "unsolicited": "Sign-ins that begin at the identity provider arrive so, and forged ones as well.",
    "require_nonce": "The token must repeat the nonce that this browser was given. The identity provider must echo it.",
    "access_token_delivery": "For a page that calls an API in the person's name (LoginRadius). It goes to the page "
    "after sign-in that is set above, and to no page that a link asks for.",
    "allow_short_secret": "For an old identity provider only: a secret shorter than the hash can be guessed off line.",
    "mapping": "Which claim fills which field. Several rows of one field: the first claim that is there counts. Dots "
    "reach inside objects. id and email are required; any name beyond those offered becomes an attribute. Clear a "
    "claim to drop its row.",
}

GROUPS = (
    ("connection", "Connection", ("preset", "algorithm", "keys", "jwks_url", "login_url", "logout_url", "return_url")),
    ("appearance", "On the sign-in page", ("display_name", "show_on_login", "default", "enabled")),
    (
        "token",
        "What a token must have",
        ("required_claims", "further_claims", "issuer", "audience", "clock_skew", "expiry_adjustment", "max_age"),
    ),
    (
        "delivery",
        "How tokens come",
        ("token_parameter", "deliveries", "unsolicited", "require_nonce", "error_url", "access_token_delivery"),
    ),
    (
        "accounts",
        "Accounts",
        ("auto_create", "auto_lookup", "update_profile", "update_email", "email_domains"),
    ),
)

FIELDS = {
    "id": "ID (required)",
    "email": "Email (required)",
    "family_name": "Last name",
    "given_name": "First name",
    "name": "Whole name",
    "login": "Login",
    "groups": "Groups",
}
