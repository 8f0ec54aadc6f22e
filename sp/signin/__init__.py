"""From a token or a password to an open session.

A browser brings a token to `/sso/login/jwt`. These are the steps, in the order in which they run:

1. `sp.views.sso.take_token` takes the token out of the request.
2. `attempt.verify_with_keys` gets the provider's keys and calls `verification.verify`, which runs every check. Nothing
   is stored yet.
3. `binding.bind` decides what the token answers: a sign-in that this browser started, or none. The person may have to
   be asked first, or the browser may have to start again.
4. `sp.views.opening.enter` describes the session to open, as an `opening.Opening`.
5. `transaction.SignIn.with_token` runs the rest. First, `preparation.PreparedWrites` makes all that needs no database:
   the ID of the session, the trace for the activity log.
6. `replay.SqlReplayCache.spend` begins the transaction. Its first statement stores the token's key; if the key is there
   already, the token was used before. With Redis, `redis_replay.RedisReplayCache` spends the token before the
   transaction.
7. `transaction.SignIn._write` runs in this transaction. It finds, creates or updates the account
   (`sp.accounts.rows.provision`), opens the session and records the activity.
8. `sp.database.access.Database.together` commits. On SQLite, sign-ins that meet share the commit
   (`sp.database.shared_commits`). On PostgreSQL, statements do not wait for one another (`sp.database.prepared`).
9. `sp.views.opening.enter` sets the cookie, and redirects the browser to its page.

`sp.views.sign_in_steps` calls the view of step 1 faster than Flask would; it repeats none of the steps.
"""
