"""Who may come in and what they may do: the gate in front of every route, passwords, accounts, sessions, tokens, CSRF."""
