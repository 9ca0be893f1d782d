"""New users' keys for NATS: the seed is the secret, and the server knows the public key alone."""

import secrets

import nkeys


def new_seed() -> str:
    """The seed of a new user."""
    seed: bytes = nkeys.encode_seed(secrets.token_bytes(32), nkeys.PREFIX_BYTE_USER)
    return seed.decode()
