"""Who may say and hear what on NATS: a user for each service and for each kind of person, and exactly its subjects.

Nobody may create, change or delete a stream but the provisioner, and nobody lists consumers: a reader's consumer has a
random name, and who does not know it can neither read from it nor delete it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from wepeople_chassis.broker import inbox_prefix
from wepeople_contracts.subjects import (
    AUTHENTICATE,
    KEY_REVOKED,
    LEASE_STREAM,
    LEASE_SUBJECT,
    LEAVING,
    PROJECTED_ALL,
    RELEASE,
    REQUEST_STATUS,
    RESERVE_ALL,
    STREAM,
    USAGE,
    Kind,
    auth_command,
    ready_subject,
)

SERVICES = ("gateway", "auth", "quota", "projector")

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


def _api(call: str, stream: str = STREAM, rest: str = "") -> str:
    return f"$JS.API.{call}.{stream}{rest}"


_INFO = _api("STREAM.INFO")
_ONE_MESSAGE = _api("STREAM.MSG.GET")
_READING = (
    _INFO,
    _api("CONSUMER.CREATE", rest=".*.>"),
    _api("CONSUMER.INFO", rest=".*"),
    _api("CONSUMER.MSG.NEXT", rest=".*"),
    _api("CONSUMER.DELETE", rest=".*"),
)
"""What the stream's reader calls."""

_MAKING = ("STREAM.INFO", "STREAM.CREATE", "STREAM.UPDATE")
_COPYING = (
    *(_api(call) for call in ("STREAM.SNAPSHOT", "STREAM.RESTORE", "STREAM.DELETE", "STREAM.MSG.GET")),
    *(f"$JS.SNAPSHOT.{call}.{STREAM}.*" for call in ("ACK", "RESTORE")),
)
"""What `wepeople stream` calls to copy the stream, to bring it back, and to see that it is the one that was read."""

_LEASE = tuple(_api(call, LEASE_STREAM) for call in ("STREAM.INFO", "STREAM.MSG.GET"))
"""Who answers for quota; `nats kv get quota-lease owner` calls both."""

_PROJECTING = (*_READING, _ONE_MESSAGE)

USERS: Mapping[str, Permissions] = {
    "gateway": Permissions(
        publishes=(
            *(_stored("events"), _stored("snapshot")),
            *(AUTHENTICATE, RESERVE_ALL, RELEASE, USAGE, REQUEST_STATUS),
            # A retry is answered from the message that the first attempt stored.
            *(_INFO, _ONE_MESSAGE),
        ),
        subscribes=(KEY_REVOKED, PROJECTED_ALL, ready_subject("gateway")),
        answers=("operator",),
    ),
    "auth": Permissions(
        publishes=(_stored("directory"), KEY_REVOKED, _INFO),
        subscribes=(AUTHENTICATE, auth_command("*"), KEY_REVOKED, ready_subject("auth")),
        answers=("gateway", "operator"),
    ),
    "quota": Permissions(
        publishes=(*_READING, *_LEASE, LEASE_SUBJECT, LEAVING),
        subscribes=(RESERVE_ALL, RELEASE, USAGE, LEAVING, ready_subject("quota")),
        # One that leaves asks the other.
        answers=("gateway", "operator", "quota"),
    ),
    "projector": Permissions(
        publishes=(*_PROJECTING, PROJECTED_ALL),
        subscribes=(REQUEST_STATUS, ready_subject("projector")),
        answers=("gateway", "operator"),
    ),
    "analyst": Permissions(publishes=_PROJECTING, subscribes=(PROJECTED_ALL,)),
    "operator": Permissions(
        publishes=(*_PROJECTING, *_LEASE, auth_command("*"), USAGE, *map(ready_subject, SERVICES)),
        subscribes=(PROJECTED_ALL,),
    ),
    "provision": Permissions(
        publishes=(
            "$JS.API.INFO",
            *(_api(call, stream) for stream in (STREAM, LEASE_STREAM) for call in _MAKING),
            *_COPYING,
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
