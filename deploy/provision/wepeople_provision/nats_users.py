"""Who may say and hear what on NATS: a user for each service and for each kind of person, and exactly its subjects.

Nobody may create, change or delete a stream but the provisioner, and nobody lists consumers but who may purge the
stream anyway: a reader's consumer has a random name, and who does not know it can neither read from it nor delete it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from wepeople_chassis.broker import inbox_prefix
from wepeople_contracts.subjects import (
    AUTHENTICATE,
    KEY_REVOKED,
    LEASE_STREAM,
    PROJECTED_ALL,
    QUOTA_ALL,
    REQUEST_STATUS,
    STREAMS,
    Kind,
    auth_command,
    lease_subject,
    leaving_subject,
    ready_subject,
    sharing_subject,
    split_subject,
)

SERVICES = ("gateway", "auth", "quota", "projector", "archiver")

GUESTS_INBOXES = "_INBOX.>"
"""Of whoever has no credential."""


@dataclass(frozen=True, slots=True)
class Permissions:
    """What a user publishes, and what it subscribes to beside its own inboxes; `answers` names the users who ask it
    something, into whose inboxes it may publish. Wherever else a request wants its answer, it gets none.
    """

    publishes: tuple[str, ...]
    subscribes: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()


def _stored(kind: Kind) -> str:
    """Matches `ingest_subject` of every org and app."""
    return f"ingest.*.*.*.{kind}"


def _each(call: str, rest: str = "") -> tuple[str, ...]:
    """A call of JetStream's API, for each stream that may be."""
    return tuple(f"$JS.API.{call}.{stream}{rest}" for stream in STREAMS)


def _bucket(*calls: str) -> tuple[str, ...]:
    return tuple(f"$JS.API.{call}.{LEASE_STREAM}" for call in calls)


_LOOKING = ("$JS.API.STREAM.NAMES", *_each("STREAM.INFO"))
"""Which streams there are, and how each stands."""

_ONE_MESSAGE = _each("STREAM.MSG.GET")
_READING = (
    *_LOOKING,
    *_each("CONSUMER.CREATE", ".*.>"),
    *_each("CONSUMER.INFO", ".*"),
    *_each("CONSUMER.MSG.NEXT", ".*"),
    *_each("CONSUMER.DELETE", ".*"),
)
"""What a stream's reader calls."""

_SPLIT = tuple(split_subject(stream) for stream in STREAMS)

_MAKING = ("STREAM.INFO", "STREAM.CREATE", "STREAM.UPDATE")
_MOVING = (
    *(subject for call in ("SNAPSHOT", "RESTORE", "DELETE", "PURGE") for subject in _each(f"STREAM.{call}")),
    *(f"$JS.SNAPSHOT.{call}" for stream in STREAMS for call in (f"ACK.{stream}.>", f"RESTORE.{stream}.*")),
    # A consumer with several filters, of which only the number of messages is wanted.
    *_each("CONSUMER.CREATE", ".*"),
    *_SPLIT,
)
"""What `wepeople stream` calls beside reading: to copy streams, bring them back, split them, and tidy up after that."""

_LEASES = _bucket("STREAM.INFO", "STREAM.MSG.GET")
"""Who answers for quota; `nats kv get quota-lease INGEST` calls both."""

_LEASED = tuple(lease_subject(stream) for stream in STREAMS)
_AMONG_QUOTAS = (leaving_subject("*"), sharing_subject("*"))

_USAGE = f"{QUOTA_ALL.removesuffix('*')}usage"

_PROJECTING = (*_READING, *_ONE_MESSAGE)

_TRIMMING = (*_each("STREAM.PURGE"), *_each("CONSUMER.LIST"))
"""What `wepeople archive trim` calls beside reading: nothing goes that somebody reads just now."""

_COPYING = (
    *_each("STREAM.INFO"),
    *_each("STREAM.SNAPSHOT"),
    *(f"$JS.SNAPSHOT.ACK.{stream}.>" for stream in STREAMS),
)
"""What `wepeople stream backup` calls."""

USERS: Mapping[str, Permissions] = {
    "gateway": Permissions(
        publishes=(
            *(_stored("events"), _stored("snapshot")),
            *(AUTHENTICATE, QUOTA_ALL, REQUEST_STATUS),
            # A retry is answered from the message that the first attempt stored.
            *(*_LOOKING, *_ONE_MESSAGE),
            # A stream that was split is asked for ids of before, by what it can only refuse.
            *_SPLIT,
        ),
        subscribes=(KEY_REVOKED, PROJECTED_ALL, ready_subject("gateway")),
        answers=("operator",),
    ),
    "auth": Permissions(
        publishes=(_stored("directory"), KEY_REVOKED, *_LOOKING),
        subscribes=(AUTHENTICATE, auth_command("*"), KEY_REVOKED, ready_subject("auth")),
        answers=("gateway", "operator"),
    ),
    "quota": Permissions(
        publishes=(*_READING, *_LEASES, *_LEASED, *_AMONG_QUOTAS),
        subscribes=(QUOTA_ALL, *_AMONG_QUOTAS, ready_subject("quota")),
        # One that leaves asks the other.
        answers=("gateway", "operator", "quota"),
    ),
    "projector": Permissions(
        publishes=(*_PROJECTING, PROJECTED_ALL),
        subscribes=(REQUEST_STATUS, ready_subject("projector")),
        answers=("gateway", "operator"),
    ),
    "archiver": Permissions(
        # Where the next message of a partition is, it asks without a consumer.
        publishes=_PROJECTING,
        subscribes=(ready_subject("archiver"),),
        answers=("operator",),
    ),
    "trimmer": Permissions(publishes=(*_PROJECTING, *_TRIMMING)),
    "copier": Permissions(publishes=_COPYING),
    "analyst": Permissions(publishes=_PROJECTING, subscribes=(PROJECTED_ALL,)),
    "operator": Permissions(
        publishes=(*_PROJECTING, *_LEASES, auth_command("*"), _USAGE, *map(ready_subject, SERVICES)),
        subscribes=(PROJECTED_ALL,),
    ),
    "provision": Permissions(
        publishes=(
            "$JS.API.INFO",
            *_bucket(*_MAKING),
            *(subject for call in ("STREAM.CREATE", "STREAM.UPDATE") for subject in _each(call)),
            *_READING,
            *_ONE_MESSAGE,
            *_MOVING,
        ),
    ),
}
"""By name; the one place that says it."""


def authorization(public_keys: Mapping[str, str], guest: str | None = None) -> str:
    """What nats-server's configuration says to let these users in, by their names in `USERS`, and nobody else.

    Inboxes are named after keys: when one key is another, all of it is to be written anew. `guest` is for measuring and
    testing: the public key of a user who may do and ask everything, and who a client without a credential is taken for.
    """
    inboxes = {name: f"{inbox_prefix(public_keys[name])}.>" for name in USERS}
    strangers = () if guest is None else (GUESTS_INBOXES,)
    users = [_user(name, public_keys[name], inboxes, strangers) for name in USERS]
    nobody = []
    if guest is not None:
        users.append(f"    {{ nkey: {guest} }}")
        nobody.append(f"no_auth_user: {guest}")
    return "\n".join(["authorization {", "  users: [", *users, "  ]", "}", *nobody, ""])


def _user(name: str, public_key: str, inboxes: Mapping[str, str], strangers: tuple[str, ...]) -> str:
    permissions = USERS[name]
    askers = (*(inboxes[asker] for asker in permissions.answers), *strangers) if permissions.answers else ()
    publishes = (*permissions.publishes, *askers)
    subscribes = (inboxes[name], *permissions.subscribes)
    return f"""\
    # {name}
    {{
      nkey: {public_key}
      permissions: {{
        publish: {{ allow: {json.dumps(publishes)} }}
        subscribe: {{ allow: {json.dumps(subscribes)} }}
      }}
    }}"""
