"""How long work shows itself: counted, at a rate, with the time left."""

import io
import json

import pytest
from rich.console import Console

from wepeople_projections.replay.progress import Meter, Standing, display, in_words


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_what_is_left_of_each_partition_makes_the_total(clock: Clock) -> None:
    meter = Meter(clock)
    meter.found(0, 600)
    meter.found(1, 400)
    clock.now += 2
    meter.found(0, 350)
    meter.wrote(5_000)
    assert meter.standing() == Standing(
        messages=250, total=1_000, rows=5_000, rows_per_second=2_500, seconds_left=round(750 / 125)
    )


def test_messages_that_come_meanwhile_make_the_total_greater_and_take_nothing_away(clock: Clock) -> None:
    meter = Meter(clock)
    meter.found(0, 10)
    meter.found(0, 4)
    meter.found(0, 9)
    standing = meter.standing()
    assert (standing.messages, standing.total) == (6, 15)


def test_what_came_after_the_end_does_not_make_more_of_what_is_left_before_it(clock: Clock) -> None:
    meter = Meter(clock)
    meter.found(0, 10)
    meter.at_most(0, 25)
    meter.at_most(0, 8)
    standing = meter.standing()
    assert (standing.messages, standing.total) == (2, 10)


def test_at_the_end_the_streams_own_count_is_what_was_done(clock: Clock) -> None:
    meter = Meter(clock)
    meter.found(0, 10)
    meter.found(0, 0)
    meter.counted(12)
    standing = meter.standing()
    assert (standing.messages, standing.total) == (12, 12)


def test_the_rate_is_that_of_the_last_ten_seconds(clock: Clock) -> None:
    meter = Meter(clock)
    meter.found(0, 1_000)
    meter.wrote(1_000_000)
    for _ in range(30):
        clock.now += 1
        meter.wrote(10)
        standing = meter.standing()
    assert standing.rows_per_second == 10


def test_nobody_can_tell_the_time_left_before_something_is_done(clock: Clock) -> None:
    meter = Meter(clock)
    meter.found(0, 10)
    clock.now += 1
    assert meter.standing().seconds_left is None
    meter.found(0, 0)
    assert meter.standing().seconds_left == 0


def test_a_standing_in_words() -> None:
    said = in_words(Standing(messages=250, total=1_000, rows=5_000, rows_per_second=2_500, seconds_left=75))
    assert said == "250 of 1,000 messages (25%), 5,000 rows, 2,500 rows/s, 0:01:15 left"
    assert "100%" in in_words(Standing(messages=0, total=0, rows=0, rows_per_second=0, seconds_left=0))


LAST = Standing(messages=3, total=3, rows=9, rows_per_second=9, seconds_left=0)


def test_where_there_is_no_terminal_there_are_plain_lines() -> None:
    written = io.StringIO()
    with display("deploys_v1", Console(file=written, width=200), as_json=False) as shown:
        shown.show(LAST)
        assert written.getvalue() == ""
        shown.show(LAST, done=True)
    assert written.getvalue() == "deploys_v1: 3 of 3 messages (100%), 9 rows, 9 rows/s\n"


def test_for_scripts_there_is_an_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with display("deploys_v1", Console(file=io.StringIO()), as_json=True) as shown:
        shown.show(LAST, done=True)
    assert json.loads(capsys.readouterr().out) == {
        "progress": "deploys_v1",
        "messages": 3,
        "total": 3,
        "rows": 9,
        "rows_per_second": 9,
        "seconds_left": 0,
    }


def test_on_a_terminal_there_is_a_bar() -> None:
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=120)
    with display("deploys_v1", console, as_json=False) as shown:
        shown.show(LAST, done=True)
    assert "3/3 messages" in written.getvalue()
    assert "━" in written.getvalue()


def test_a_count_that_turns_out_lower_leaves_no_negative_time(clock: Clock) -> None:
    meter = Meter(clock)
    meter.found(0, 10)
    meter.found(0, 5)
    meter.standing()
    clock.now += 20
    meter.standing()
    meter.counted(2)
    clock.now += 1
    assert meter.standing().seconds_left is None
