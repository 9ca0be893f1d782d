"""Who is this? Orgs, plans, apps, whitelists and keys, and the answer to every bearer token."""
