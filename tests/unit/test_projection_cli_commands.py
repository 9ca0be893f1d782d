"""What the commands of projections decide before they ask anybody: names, versions, choices, notices; their help."""

import io
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec
import pytest
import structlog
import typer
from rich.console import Console
from typer.testing import CliRunner

from wepeople_projections.cli import parked, projection
from wepeople_projections.commands.choosing import Choice, ChoiceError, in_words, kept, without_effect
from wepeople_projections.commands.looking import position_of, state_of
from wepeople_projections.commands.notices import Notices
from wepeople_projections.commands.targets import Target, TargetError, choose
from wepeople_projections.definition.selection import Selection
from wepeople_projections.postgres.about import About


def commands(group: typer.Typer, prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for command in group.registered_commands:
        assert command.name
        yield (*prefix, command.name)


ALL = [*commands(projection), *commands(parked, ("parked",))]


@pytest.mark.parametrize("command", ALL, ids=" ".join)
def test_help_has_an_example_that_can_be_typed(command: tuple[str, ...]) -> None:
    result = CliRunner().invoke(projection, [*command, "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert f"wepeople projection {' '.join(command)}" in result.output.split("xample")[1]


def target(version: int, *, serving: bool = False) -> Target:
    since = datetime(2026, 4, 1, tzinfo=UTC) if serving else None
    about = About(
        name="deploys",
        version=version,
        source="/home/deploys.py:Deploys",
        code_sha256="",
        tables_sha256="",
        serving_since=since,
    )
    return Target(f"deploys_v{version}", about)


def test_the_only_version_need_not_be_named() -> None:
    assert choose([target(3)], "deploys", None).schema == "deploys_v3"


def test_of_several_versions_one_must_be_named_either_way() -> None:
    found = [target(1, serving=True), target(2)]
    assert choose(found, "deploys", 2).schema == "deploys_v2"
    assert choose(found, "deploys_v1", None).schema == "deploys_v1"
    assert choose(found, "deploys_v1", 1).schema == "deploys_v1"
    with pytest.raises(TargetError, match=r"Say which: deploys_v1 \(serving\), deploys_v2"):
        choose(found, "deploys", None)
    with pytest.raises(TargetError, match="no version 3"):
        choose(found, "deploys", 3)
    with pytest.raises(TargetError, match="Say it once"):
        choose(found, "deploys_v1", 2)


CHOSEN = Selection(from_sequence=10, to_sequence=99, org_ids=("org_1",), app_ids=("app_1",), event_types=("a.*",))


def test_a_selection_is_told_as_the_options_that_make_it() -> None:
    assert in_words(CHOSEN) == "--from 10 --to 99 --org org_1 --app app_1 --type a.*"
    assert in_words(Selection()) == "the whole stream"


def test_a_version_goes_on_with_what_it_was_made_with_and_with_nothing_else() -> None:
    assert kept(CHOSEN, CHOSEN, "deploys_v1") == CHOSEN
    with pytest.raises(ChoiceError, match=r"made with --from 10 .* cannot go on with the whole stream"):
        kept(CHOSEN, Selection(), "deploys_v1")


@pytest.fixture
def said() -> io.StringIO:
    return io.StringIO()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def notices(said: io.StringIO, clock: Clock) -> Notices:
    return Notices(Console(file=said, width=200), clock)


def log(notices: Notices, level: str, event: str, **fields: object) -> None:
    with pytest.raises(structlog.DropEvent):
        notices(None, level, {"event": event, "level": level, **fields})


def test_what_is_parked_is_said_with_its_reason(notices: Notices, said: io.StringIO) -> None:
    log(notices, "error", "parked", sequence=7, row=2, reason="Traceback …\nKeyError: 'service'")
    log(notices, "error", "parked", sequence=8, row=-1, reason="no envelope")
    assert said.getvalue() == "Parked: row 2 of message 7: KeyError: 'service'\n"


def test_the_same_is_said_now_and_then_only_with_how_often_it_was(
    notices: Notices, said: io.StringIO, clock: Clock
) -> None:
    for sequence in (1, 2, 3):
        log(notices, "error", "parked", sequence=sequence, row=0, reason="x")
    clock.now = 11.0
    log(notices, "error", "parked", sequence=4, row=0, reason="x")
    assert said.getvalue().splitlines() == [
        "Parked: row 0 of message 1: x",
        "Parked: row 0 of message 4: x (2 more like this.)",
    ]


def test_a_server_that_is_away_is_said_in_words_and_what_mends_itself_is_not(
    notices: Notices, said: io.StringIO
) -> None:
    log(notices, "warning", "fenced", partition=1)
    log(notices, "info", "gives_up", partitions=[1])
    log(notices, "warning", "database_away", error="no")
    log(notices, "warning", "locks_lost", error="no")
    assert said.getvalue() == "Postgres does not answer; the work goes on when it does.\n"


def test_a_beginning_that_leaves_nothing_away_is_said_to() -> None:
    choice = Choice(start="2026-04-01")
    assert without_effect(choice, Selection()) == (
        "The stream has nothing before 2026-04-01, so --from leaves nothing away."
    )
    assert without_effect(choice, Selection(from_sequence=2)) is None
    assert without_effect(Choice(orgs=("Acme",)), Selection()) is None


def test_a_position_is_held_back_only_by_partitions_of_which_something_is_left() -> None:
    positions = {0: 0, 1: 70, 2: 90}
    assert position_of(Selection(), positions, {0: 0, 1: 0, 2: 0}, end=100) == 100
    assert position_of(Selection(), positions, {0: 0, 1: 3, 2: 1}, end=100) == 70
    assert position_of(Selection(to_sequence=80), positions, {0: 0, 1: 0, 2: 0}, end=100) == 80


def test_what_ends_beyond_the_stream_is_not_finished_though_nothing_is_left() -> None:
    about = msgspec.structs.replace(target(1).about, selection=Selection(to_sequence=200))
    assert state_of(about, processes=1, ends={0: 128}, left=0) == "running"
    assert state_of(about, processes=0, ends={0: 128}, left=0) == "stopped"
    assert state_of(about, processes=0, ends={0: 200}, left=0) == "finished"
