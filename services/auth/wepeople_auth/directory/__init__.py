"""Orgs, plans, apps, whitelists and the people an org employs: who there is, told to the stream."""
