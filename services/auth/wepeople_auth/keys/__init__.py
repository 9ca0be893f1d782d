"""Keys: issued once, kept as bcrypt hashes, recognised fast, revoked for good."""
