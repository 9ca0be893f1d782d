"""What deploys.py makes of the stream."""

from datetime import date

from deploys import Deploys, DeploysPerWeek

from wepeople_projections.kit import event, given

CHECKOUT = {"service": "checkout"}
MONDAY, NEXT_MONDAY = date(2026, 4, 13), date(2026, 4, 20)


def test_deploys_are_counted_by_service_and_week() -> None:
    given(
        Deploys,
        event("deploy.shipped", metadata=CHECKOUT, at="2026-04-13T00:00Z", duration=612),
        event("deploy.shipped", metadata=CHECKOUT, at="2026-04-19T23:59Z", duration=30),
        event("deploy.shipped", metadata=CHECKOUT, at="2026-04-20T00:00Z"),
        event("deploy.shipped", at="2026-04-14T09:00Z"),
        event("review.done", at="2026-04-14T09:00Z"),
    ).expect(
        DeploysPerWeek,
        [
            DeploysPerWeek("acme", MONDAY, "(none)", 1, 0, 0),
            DeploysPerWeek("acme", MONDAY, "checkout", 2, 642, 612),
            DeploysPerWeek("acme", NEXT_MONDAY, "checkout", 1, 0, 0),
        ],
    )


def test_a_service_that_is_not_text_is_parked_and_the_rest_goes_on() -> None:
    given(
        Deploys,
        event("deploy.shipped", metadata={"service": 7}, at="2026-04-13T09:00Z"),
        event("deploy.shipped", metadata=CHECKOUT, at="2026-04-13T09:00Z"),
    ).expect_parked("service").expect(DeploysPerWeek, [{"service": "checkout", "deploys": 1}])
