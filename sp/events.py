"""The events of the activity log, the metrics and the pages, each with its text for people.

Pure code: it does no I/O and reads no clock.
"""

SIGN_IN, REFUSED, RESTART, SIGN_OUT, TRIAL = "sign_in", "refused", "restart", "sign_out", "trial"
HAND_OVER = "hand_over"  # from home to a further site
HELD = "held"  # the token is valid, but the person is first asked "Continue as X?"

WORDS = {
    SIGN_IN: "signed in",
    REFUSED: "rejected",
    RESTART: "restarted",
    HELD: "asked to confirm",
    HAND_OVER: "signed in at a further site",
    SIGN_OUT: "signed out",
    TRIAL: "trial",
}
WRONG_PASSWORD = "wrong_password"  # at a local sign-in; this code is only in the log
