"""What a certificate finds wrong by count."""

from wepeople_projector.certificate import OrgProof, differences
from wepeople_projector.counting import Month


def org(name: str, *, timeline: int = 6, used: int = 8) -> OrgProof:
    """Ten rows came, of which six are events that the timeline must have; eight were charged."""
    month = Month(period="2026-04", charged=8, used=used)
    return OrgProof(org_id=name, accepted=10, repeated=3, aside=1, dropped=0, timeline=timeline, month=month)


def test_what_adds_up_has_no_difference() -> None:
    assert list(differences([org("a"), org("b")])) == []


def test_an_event_too_many_or_too_few_is_said_with_its_org() -> None:
    assert list(differences([org("a"), org("b", timeline=7)])) == ["org b: the stream has 6 events, the timeline 7"]


def test_a_month_that_quota_counts_otherwise_is_said() -> None:
    [said] = differences([org("a", used=9)])
    assert said == "org a: the stream charges 8 events to 2026-04, but quota says 9"
