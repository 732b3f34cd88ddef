"""Who may come in: the gate in front of every route, passwords, accounts, sessions, tokens, CSRF, sign-in attempts."""
