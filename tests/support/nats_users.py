"""The tests' NATS users: the same keys in every process, and a guest, who is whoever connects without a credential.

`python -m tests.support.nats_users` prints what the configuration of an external server needs.
"""

import hashlib

import nkeys

from wepeople_chassis.broker import NatsAddress, user_of_seed
from wepeople_provision.nats_users import USERS, authorization


def _seed(user: str) -> str:
    text: bytes = nkeys.encode_seed(hashlib.sha256(f"tests {user}".encode()).digest(), nkeys.PREFIX_BYTE_USER)
    return text.decode()


SEEDS = {user: _seed(user) for user in USERS}
GUEST = user_of_seed(_seed("guest"))
ACCESS = authorization({user: user_of_seed(seed) for user, seed in SEEDS.items()}, GUEST)


def nats_as(user: str, nats_url: str) -> NatsAddress:
    """NATS as one of its users."""
    return NatsAddress(nats_url, SEEDS[user])


def nats_environment(user: str, nats_url: str) -> dict[str, str]:
    """What a process needs to be that user."""
    return {"WEPEOPLE_NATS_URL": nats_url, "WEPEOPLE_NATS_SEED": SEEDS[user]}


if __name__ == "__main__":
    print(ACCESS)
