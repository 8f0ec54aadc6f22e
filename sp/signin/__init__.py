"""From a token or a password to an open session.

A browser brings a token to `/sso/login/jwt`. These are the steps, in the order in which they run:

1. `sp.gateway.middleware.Gateway.__call__` calls `sp.gateway.in_process.InProcess.arrive`, which sees that the URL is
   one of ours. Then our own application answers: `sp.views.sign_in_steps.SignInSteps`, which `sp.app` puts in front of
   Flask, calls the view; for an unusual request, Flask calls it. The view `sp.views.sso.take_token` takes the token out
   of the request (`sp.views.delivery.delivery_for`). If an administrator's trial sign-in asked for the token,
   `sp.views.trial_token` takes over.
2. `attempt.verify_with_keys` gets the provider's keys and calls `verification.verify`, which opens the token
   (`shared.tokens.open_signed`) and runs every check of the token alone. Nothing is stored yet.
3. `binding.bind` checks the nonce, and decides what the token answers: a sign-in that this browser started, or none.
   A person may first be asked "Continue as X?" (`sp.views.questions`). A browser that has started no sign-in may first
   have to start one.
4. `sp.views.opening.enter` describes the session to open, as an `opening.Opening`.
5. `transaction.SignIn.with_token` runs the rest. First, `preparation.SignInWrites` makes all that needs no database:
   the ID of the session, the facts for the activity log.
6. `replay.SqlReplayCache.spend` gives `sp.database.access.Database.together` one function, which does steps 6 and 7 in
   one transaction. Its first statement stores the token's key; if the key is there already, the token was used before.
   The query for the account is sent together with it. With Redis, `redis_replay.RedisReplayCache` spends the token
   before the transaction, and makes it unspent again if the transaction fails before its commit.
7. `transaction.SignIn._write` finds, creates or updates the account (`sp.accounts.rows.provision`, by the decision of
   `sp.accounts.provisioning.decide`), opens the session (`sp.sessions.store.SessionStore.open`) and records the
   activity (`sp.activity.record.record`). A rejection here rolls back everything, also the spending.
8. `together` commits. On SQLite, sign-ins that arrive at the same time share one commit
   (`sp.database.shared_commits`); `shared.sqlite` gives them the write lock. On PostgreSQL, statements are sent without
   waiting for the answers to earlier ones (`shared.postgresql.BoundedConnection.pipelined`).
9. `sp.views.opening.enter` sets the cookie, and redirects the browser to its page.

If a new person signs in twice at the same moment, on PostgreSQL one of the two ends with an IntegrityError. Then
`with_token` repeats steps 5 to 8, at most three times in all, and finds the account. A rejection of any step goes to
`sp.views.refusals`, which logs it and answers. There are two exceptions, if the same browser sends its token again, as
after a double click: `sp.views.double_submit` redirects it to its page, or `sp.views.questions` shows a question that
is still open again.
"""
