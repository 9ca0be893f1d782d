"""The tests' NATS users: the same keys in every process, and a guest, who is whoever connects without a credential.

`python -m tests.support.nats_users` prints what the configuration of an external server needs.
"""

import hashlib
import os
from pathlib import Path

import nkeys

from wepeople_chassis.broker import NatsAddress, user_of_seed
from wepeople_provision.nats_users import USERS, authorization


def _seed(user: str) -> str:
    text: bytes = nkeys.encode_seed(hashlib.sha256(f"tests {user}".encode()).digest(), nkeys.PREFIX_BYTE_USER)
    return text.decode()


SEEDS = {user: _seed(user) for user in USERS}
GUEST = user_of_seed(_seed("guest"))
ACCESS = authorization({user: user_of_seed(seed) for user, seed in SEEDS.items()}, GUEST)


CA_FILE = "WP_TEST_CA_FILE"
"""Names the variable with the CA of a deployment in containers, whose servers are `tls://`."""


def nats_as(user: str, nats_url: str) -> NatsAddress:
    """NATS as one of its users."""
    return NatsAddress(nats_url, SEEDS[user], _ca_file())


def nats_unbound(nats_url: str) -> NatsAddress:
    """NATS as whoever may do the most: the guest, or an operator in a deployment, which has no guest."""
    return nats_as("operator", nats_url) if nats_url.startswith("tls://") else NatsAddress(nats_url)


def nats_environment(user: str, nats_url: str) -> dict[str, str]:
    """What a process needs to be that user."""
    ca_file = _ca_file()
    trusted = {} if ca_file is None else {"WEPEOPLE_NATS_CA_FILE": str(ca_file)}
    return {"WEPEOPLE_NATS_URL": nats_url, "WEPEOPLE_NATS_SEED": SEEDS[user], **trusted}


def _ca_file() -> Path | None:
    name = os.environ.get(CA_FILE)
    return Path(name) if name else None


if __name__ == "__main__":
    print(ACCESS)
