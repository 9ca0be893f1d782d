"""What the gateway knows of the rates without asking, and what it tells with every answer."""

from datetime import UTC, datetime

import pytest
from nats.errors import NoRespondersError

from wepeople_contracts.auth import Principal
from wepeople_contracts.quota import Granted, RateLimited, Verdict, Window
from wepeople_contracts.reply import Reply
from wepeople_contracts.subjects import partition_of
from wepeople_gateway.alone import NO_EPOCH
from wepeople_gateway.budgets import Budgets
from wepeople_gateway.errors import ApiError

PRINCIPAL = Principal(
    org_id="org_1",
    app_id="app_1",
    app_slug="ci",
    connection="custom:ci",
    key_id="0123456789ab",
    allowed_event_types=frozenset(),
    key_requests_per_second=60,
    org_requests_per_second=600,
    max_events_per_month=None,
)
POLICY = '"key";q=60;w=1, "org";q=600;w=1'


class Message:
    def __init__(self, data: bytes) -> None:
        self.data = data


class Quota:
    """Stands where the connection to NATS stands, and gives the verdict it is told to give; of the partitions that are
    away nobody answers.
    """

    def __init__(self) -> None:
        self.asked = 0
        self.away: set[int] = set()
        self.verdict: Granted | RateLimited = granted(59, 0.4)

    async def request(self, subject: str, data: bytes, timeout: float, headers: object) -> Message:
        self.asked += 1
        if int(subject.split(".")[2]) in self.away:
            raise NoRespondersError
        return Message(Reply[Verdict](ok=Verdict(verdict=self.verdict)).model_dump_json().encode())


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def granted(remaining: int, reset_seconds: float, epoch: int = 1) -> Granted:
    window = Window(remaining=remaining, reset_seconds=reset_seconds)
    return Granted(
        units=0, period="2026-04", epoch=epoch, month_resets_at=datetime(2026, 5, 1, tzinfo=UTC), key_window=window
    )


def refused(scope: str, seconds: float) -> RateLimited:
    window = Window(remaining=0, reset_seconds=seconds)
    return RateLimited.model_validate({"scope": scope, "retry_after_seconds": seconds, "key_window": window})


@pytest.fixture
def quota() -> Quota:
    return Quota()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def budgets(quota: Quota, clock: Clock) -> Budgets:
    return Budgets(quota, 1, clock=clock)  # type: ignore[arg-type]


def test_a_key_of_which_nothing_is_known_has_its_whole_rate(budgets: Budgets) -> None:
    assert budgets.headers(PRINCIPAL) == {"RateLimit-Policy": POLICY, "RateLimit": '"key";r=60;t=1'}


async def test_an_answer_tells_the_window_as_quota_left_it_until_that_has_passed(
    budgets: Budgets, clock: Clock
) -> None:
    await budgets.reserve(PRINCIPAL, None)
    assert budgets.headers(PRINCIPAL)["RateLimit"] == '"key";r=59;t=1'
    clock.now += 0.5
    assert budgets.headers(PRINCIPAL)["RateLimit"] == '"key";r=60;t=1'


@pytest.mark.parametrize("scope", ["key", "org"])
async def test_who_was_refused_is_refused_without_asking_until_the_time_it_was_told(
    budgets: Budgets, quota: Quota, clock: Clock, scope: str
) -> None:
    quota.verdict = refused(scope, 0.25)
    with pytest.raises(ApiError) as told:
        await budgets.reserve(PRINCIPAL, None)
    assert (told.value.code, told.value.details, told.value.headers["Retry-After"]) == (
        "rate_limited",
        {"scope": scope},
        "1",
    )
    with pytest.raises(ApiError):
        budgets.check_refused(PRINCIPAL)
    assert quota.asked == 1
    clock.now += 0.25
    budgets.check_refused(PRINCIPAL)


async def test_a_refused_org_does_not_stop_another(budgets: Budgets, quota: Quota) -> None:
    quota.verdict = refused("org", 0.25)
    with pytest.raises(ApiError):
        await budgets.reserve(PRINCIPAL, None)
    budgets.check_refused(PRINCIPAL.model_copy(update={"org_id": "org_2", "key_id": "ba9876543210"}))


OTHER = PRINCIPAL.model_copy(update={"org_id": "org_2", "key_id": "ba9876543210"})


async def test_an_owner_that_is_away_stops_nobody_from_asking_that_of_another_partition(
    budgets: Budgets, quota: Quota
) -> None:
    assert partition_of(PRINCIPAL.org_id) != partition_of(OTHER.org_id)
    quota.away = {partition_of(PRINCIPAL.org_id)}
    alone = await budgets.reserve(PRINCIPAL, None)
    await budgets.reserve(PRINCIPAL, None)
    assert (isinstance(alone, Granted) and alone.epoch, quota.asked) == (NO_EPOCH, 1)
    asked = await budgets.reserve(OTHER, None)
    assert (isinstance(asked, Granted) and asked.epoch, quota.asked) == (1, 2)


async def test_a_lower_epoch_of_another_partitions_owner_is_no_owner_of_before(budgets: Budgets, quota: Quota) -> None:
    quota.verdict = granted(59, 0.4, epoch=7)
    await budgets.reserve(PRINCIPAL, None)
    quota.verdict = granted(59, 0.4, epoch=3)
    other, outdated = await budgets.reserve(OTHER, None), await budgets.reserve(PRINCIPAL, None)
    assert isinstance(other, Granted)
    assert isinstance(outdated, Granted)
    assert (other.epoch, outdated.epoch) == (3, NO_EPOCH)
