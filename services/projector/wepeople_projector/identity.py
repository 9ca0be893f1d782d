"""Who a row is about (design §3, Identity): a fold over the org's history, without I/O.

`resolve` decides and `evolve` applies what it decided. Bindings are only ever added: an identifier keeps its worker
for good, and two workers are never merged. That is why a claim resolved once resolves the same ever after.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from msgspec import UNSET, UnsetType

from wepeople_contracts.directory import normalize_email
from wepeople_contracts.ids import worker_id as derive_worker_id

Kind = Literal["workerId", "externalId", "email"]
Reason = Literal["bound_to_another", "unknown_worker_id"]


class Identifier(NamedTuple):
    """One way to name a worker. `scope` is the app for an externalId, else the org. A workerId is bound to itself
    once the worker exists.
    """

    org_id: str
    kind: Kind
    scope: str
    value: str


class Claim(NamedTuple):
    """What one row says of its actor: at least one identifier, the strongest first."""

    org_id: str
    identifiers: tuple[Identifier, ...]


class Founded(NamedTuple):
    """A worker came into being."""

    org_id: str
    worker_id: str


class Bound(NamedTuple):
    """An identifier seen for the first time belongs to this worker from now on."""

    identifier: Identifier
    worker_id: str


class Conflicted(NamedTuple):
    """An identifier spoke against the worker that a stronger one named; `other` is whom it is bound to, if anyone."""

    identifier: Identifier
    reason: Reason
    worker_id: str
    other: str | None


Change = Founded | Bound | Conflicted


@dataclass(frozen=True, slots=True)
class IdentityState:
    """What a batch needs to know: its orgs' salts, and the worker (or None) of every identifier it `needs`."""

    salts: Mapping[str, bytes]
    bindings: dict[Identifier, str | None]


def worker_identifier(org_id: str, worker_id: str) -> Identifier:
    """A worker's own id as an identifier."""
    return Identifier(org_id, "workerId", org_id, worker_id)


def claim_of(
    org_id: str, app_id: str, worker_id: str | UnsetType, external_id: str | UnsetType, email: str | UnsetType
) -> Claim | None:
    """The claim of an actor; None when it names nobody that could be stored (empty, or with a NUL)."""
    offered = (
        Identifier(org_id, "workerId", org_id, "" if worker_id is UNSET else worker_id),
        Identifier(org_id, "externalId", app_id, "" if external_id is UNSET else external_id),
        Identifier(org_id, "email", org_id, "" if email is UNSET else normalize_email(email)),
    )
    identifiers = tuple(i for i in offered if i.value and "\0" not in i.value)
    return Claim(org_id, identifiers) if identifiers else None


def founding_id(claim: Claim, salts: Mapping[str, bytes]) -> str:
    """The id that a worker founded by this claim gets: from its strongest identifier that anybody can choose freely."""
    founder = next((i for i in claim.identifiers if i.kind != "workerId"), claim.identifiers[0])
    return derive_worker_id(salts[claim.org_id], founder.kind, founder.scope, founder.value)


def needs(claim: Claim, salts: Mapping[str, bytes]) -> tuple[Identifier, ...]:
    """The identifiers whose bindings `resolve` looks at.

    An unknown workerId is never bound, so whether its worker was founded before is seen by that worker's own id only.
    """
    if len(claim.identifiers) == 1 and claim.identifiers[0].kind == "workerId":
        return (*claim.identifiers, worker_identifier(claim.org_id, founding_id(claim, salts)))
    return claim.identifiers


def resolve(state: IdentityState, claim: Claim) -> tuple[str, list[Change]]:
    """Decide whose row it is, and what that changes.

    The strongest identifier that is bound names the worker; when none is, a worker is founded. Unbound identifiers
    are bound to it, except a workerId, which nobody can introduce.
    """
    bound = [state.bindings[i] for i in claim.identifiers]
    changes: list[Change] = []
    winner = next((worker for worker in bound if worker is not None), None)
    if winner is None:
        winner = founding_id(claim, state.salts)
        if state.bindings.get(worker_identifier(claim.org_id, winner)) is None:
            changes.append(Founded(claim.org_id, winner))
    for identifier, worker in zip(claim.identifiers, bound, strict=True):
        if worker is not None and worker != winner:
            changes.append(Conflicted(identifier, "bound_to_another", winner, worker))
        elif worker is None and identifier.kind == "workerId":
            changes.append(Conflicted(identifier, "unknown_worker_id", winner, None))
        elif worker is None:
            changes.append(Bound(identifier, winner))
    return winner, changes


def evolve(bindings: dict[Identifier, str | None], change: Change) -> None:
    """Apply a change to the bindings."""
    match change:
        case Founded(org_id, worker_id):
            bindings[worker_identifier(org_id, worker_id)] = worker_id
        case Bound(identifier, worker_id):
            bindings[identifier] = worker_id
        case Conflicted():
            pass
