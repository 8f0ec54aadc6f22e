"""The gateway in this process: decisions, identity, sessions, forward-auth, sign-out."""
