"""Whose row is it? The identity rules one by one."""

from msgspec import UNSET

from wepeople_contracts.ids import worker_id
from wepeople_projections.folding.identity import Conflicted, Identifier, IdentityState, Resolution, claim_of, resolve

SALT = bytes(32)


def resolved(known: dict[Identifier, str], **actor: str) -> Resolution:
    """The resolution of an actor of app `app` when only `known` is bound."""
    claim = claim_of(
        "org", "app", actor.get("worker_id", UNSET), actor.get("external_id", UNSET), actor.get("email", UNSET)
    )
    assert claim is not None
    return resolve(IdentityState({"org": SALT}, {i: known.get(i) for i in claim.identifiers}), claim)


def worker(value: str) -> Identifier:
    return Identifier("org", "workerId", "org", value)


def external(value: str, app: str = "app") -> Identifier:
    return Identifier("org", "externalId", app, value)


def email(value: str) -> Identifier:
    return Identifier("org", "email", "org", value)


def test_an_unknown_external_id_founds_a_worker_whose_id_is_derived_from_it() -> None:
    expected = worker_id(SALT, "externalId", "app", "eng-17")
    assert resolved({}, external_id="eng-17") == Resolution(expected, True, [external("eng-17")], [])


def test_an_unknown_email_founds_a_worker_whatever_its_case_and_spaces() -> None:
    expected = worker_id(SALT, "email", "org", "alex@acme.com")
    assert resolved({}, email=" Alex@ACME.com ") == Resolution(expected, True, [email("alex@acme.com")], [])


def test_the_worker_id_is_stronger_than_the_external_id_and_that_than_the_email() -> None:
    known = {worker("w1"): "w1", external("e"): "w2", email("m"): "w3"}
    assert resolved(known, worker_id="w1", external_id="e", email="m").worker_id == "w1"
    assert resolved(known, external_id="e", email="m").worker_id == "w2"
    assert resolved(known, email="m").worker_id == "w3"


def test_identifiers_seen_together_are_bound_to_the_winner() -> None:
    assert resolved({email("m"): "w3"}, external_id="e", email="m") == Resolution("w3", False, [external("e")], [])


def test_two_established_workers_are_not_merged_but_recorded() -> None:
    known = {external("e"): "w2", email("m"): "w3"}
    conflict = Conflicted(email("m"), "bound_to_another", "w2", "w3")
    assert resolved(known, external_id="e", email="m") == Resolution("w2", False, [], [conflict])


def test_an_unknown_worker_id_beside_another_identifier_is_ignored_and_recorded() -> None:
    conflict = Conflicted(worker("foreign"), "unknown_worker_id", "w2", None)
    assert resolved({external("e"): "w2"}, worker_id="foreign", external_id="e") == Resolution(
        "w2", False, [], [conflict]
    )


def test_an_unknown_worker_id_alone_still_gets_a_worker_and_always_the_same() -> None:
    expected = worker_id(SALT, "workerId", "org", "nobody")
    conflict = Conflicted(worker("nobody"), "unknown_worker_id", expected, None)
    assert resolved({}, worker_id="nobody") == Resolution(expected, True, [], [conflict])
    again = IdentityState({"org": SALT}, {worker("nobody"): None, worker(expected): expected})
    claim = claim_of("org", "app", "nobody", UNSET, UNSET)
    assert claim is not None
    assert resolve(again, claim) == Resolution(expected, False, [], [conflict])


def test_an_actor_that_names_nobody_storable_makes_no_claim() -> None:
    assert claim_of("org", "app", UNSET, "nul\0", " ") is None
