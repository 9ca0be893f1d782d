"""A projection's tables in Postgres: a schema of its own, how rows come into it, and what proves what is in it."""
