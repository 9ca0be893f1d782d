"""What the projector says of a request, after a look at the read models."""

from datetime import UTC, datetime

from wepeople_contracts.projection import RequestQuery, RequestStatus
from wepeople_projector.answering import StatusReply, answer
from wepeople_projector.lookup import Look

QUERY = RequestQuery(org_id="org", app_id="app", request_id="req_1")
NOW = datetime(2026, 4, 19, 12, tzinfo=UTC)
STATUS = RequestStatus(
    request_id="req_1", kind="events", received_at=NOW, sequence=7, projected_at=NOW, accepted=1, rejected=0
)


def code(reply: StatusReply) -> str | None:
    return reply.error.code if reply.error else None


def test_a_request_that_is_there_is_shown_wherever_the_stream_ends() -> None:
    assert answer(QUERY, Look(7, STATUS), 900).ok == STATUS


def test_it_is_not_found_only_once_the_read_models_have_passed_what_was_stored() -> None:
    assert code(answer(QUERY, Look(899, None), 900)) == "unavailable"
    assert code(answer(QUERY, Look(900, None), 900)) == "not_found"
    assert code(answer(QUERY, Look(0, None), 0)) == "not_found"
