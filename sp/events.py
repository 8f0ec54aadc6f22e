"""The events that the activity log, the metrics and the pages name, each with the words that people read. Pure."""

SIGN_IN, REFUSED, RESTART, SIGN_OUT, TRIAL = "sign_in", "refused", "restart", "sign_out", "trial"
HAND_OVER = "hand_over"  # from home to a further site
HELD = "held"  # a good token, whose person is asked first

WORDS = {
    SIGN_IN: "signed in",
    REFUSED: "rejected",
    RESTART: "restarted",
    HELD: "asked to confirm",
    HAND_OVER: "signed in at a further site",
    SIGN_OUT: "signed out",
    TRIAL: "trial",
}
WRONG_PASSWORD = "wrong_password"  # of a local sign-in: a code of the log alone, the person is told none
