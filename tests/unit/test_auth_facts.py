"""The facts that auth founds, and where they are stored."""

import pytest

from wepeople_auth.directory.facts import app_created, org_founded, outbox_fact, workers_imported
from wepeople_chassis.rpc import Refused
from wepeople_contracts.directory import decode_fact
from wepeople_contracts.operators import ImportedWorker
from wepeople_contracts.subjects import NO_APP, ingest_subject


def test_every_org_has_a_salt_of_its_own() -> None:
    first, second = org_founded("Acme"), org_founded("Acme")
    assert len(first.salt) == 32
    assert first.salt != second.salt
    assert first.org_id != second.org_id


def test_a_fact_lies_in_the_outbox_under_the_subject_it_is_stored_by() -> None:
    founded, created = org_founded("Acme"), app_created("org_1", "ci")
    assert outbox_fact(founded).subject == ingest_subject(founded.org_id, NO_APP, "directory")
    assert outbox_fact(created).subject == ingest_subject("org_1", created.app_id, "directory")
    assert decode_fact(outbox_fact(created).body) == created
    assert created.connection == "custom:ci"


def test_an_import_holds_emails_as_they_are_compared() -> None:
    imported = workers_imported("org_1", [ImportedWorker(email=" Alex@ACME.com ", name=" Alex ")])
    assert [(entry.email, entry.name) for entry in imported.workers] == [("alex@acme.com", "Alex")]


@pytest.mark.parametrize("emails", [["a@acme.com", "A@acme.com"], ["acme.com"], ["a@b@c"], ["a\0@acme.com"]])
def test_an_import_with_a_bad_or_doubled_email_is_refused(emails: list[str]) -> None:
    with pytest.raises(Refused) as refused:
        workers_imported("org_1", [ImportedWorker(email=email) for email in emails])
    assert refused.value.error.code == "invalid"


def test_a_name_that_no_read_model_can_show_is_refused() -> None:
    with pytest.raises(Refused):
        workers_imported("org_1", [ImportedWorker(email="a@acme.com", name="A\0")])
