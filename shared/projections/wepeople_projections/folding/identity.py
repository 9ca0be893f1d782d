"""Who a row is about (design §3, Identity): a fold over the org's history, without I/O.

`resolve` decides and `evolve` applies what it decided. Bindings are only ever added: an identifier keeps its worker
for good, and two workers are never merged. That is why a claim resolved once resolves the same ever after.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from msgspec import UNSET, Struct, UnsetType

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


class Conflicted(NamedTuple):
    """An identifier spoke against the worker that a stronger one named; `other` is whom it is bound to, if anyone."""

    identifier: Identifier
    reason: Reason
    worker_id: str
    other: str | None


class Resolution(Struct, frozen=True, gc=False):
    """Whose row it is, and what that changes: whether the worker was founded by it, the identifiers that are bound to
    the worker from now on, and those that disagreed.
    """

    worker_id: str
    founded: bool
    bound: list[Identifier]
    conflicts: list[Conflicted]


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
    offered: list[Identifier] = []
    if worker_id is not UNSET:
        offered.append(Identifier(org_id, "workerId", org_id, worker_id))
    if external_id is not UNSET:
        offered.append(Identifier(org_id, "externalId", app_id, external_id))
    if email is not UNSET:
        offered.append(Identifier(org_id, "email", org_id, normalize_email(email)))
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


def resolve(state: IdentityState, claim: Claim) -> Resolution:
    """Decide whose row it is.

    The strongest identifier that is bound names the worker; when none is, a worker is founded. Unbound identifiers
    are bound to it, except a workerId, which nobody can introduce.
    """
    bindings = state.bindings
    worker_id = next((worker for i in claim.identifiers if (worker := bindings[i]) is not None), None)
    founded = False
    if worker_id is None:
        worker_id = founding_id(claim, state.salts)
        founded = bindings.get(worker_identifier(claim.org_id, worker_id)) is None
    bound: list[Identifier] = []
    conflicts: list[Conflicted] = []
    for identifier in claim.identifiers:
        other = bindings[identifier]
        if other is not None and other != worker_id:
            conflicts.append(Conflicted(identifier, "bound_to_another", worker_id, other))
        elif other is None and identifier.kind == "workerId":
            conflicts.append(Conflicted(identifier, "unknown_worker_id", worker_id, None))
        elif other is None:
            bound.append(identifier)
    return Resolution(worker_id, founded, bound, conflicts)


def evolve(bindings: dict[Identifier, str | None], claim: Claim, resolution: Resolution) -> None:
    """Apply to the bindings what was decided about a claim."""
    if resolution.founded:
        bindings[worker_identifier(claim.org_id, resolution.worker_id)] = resolution.worker_id
    for identifier in resolution.bound:
        bindings[identifier] = resolution.worker_id
