"""What a projection may be, and what is said of one that cannot."""

from collections.abc import Callable
from typing import Any

import pytest

from wepeople_contracts.directory import OrgFounded, WorkersImported
from wepeople_projections import (
    DefinitionError,
    Event,
    Operation,
    Projection,
    Row,
    insert,
    on_event,
    on_fact,
    on_identified,
    on_reject,
    on_request,
    on_snapshot,
    table,
)
from wepeople_projections.definition.projection import define
from wepeople_projections.definition.table import spec_of


def _said(define_it: Callable[[], Any]) -> str:
    with pytest.raises(DefinitionError) as raised:
        define_it()
    assert str(raised.value) == f"{raised.value.where}: {raised.value.problem}"
    return str(raised.value)


@table(key=("event_id",), name="deploys", key_is_global=True, in_key_order=True)
class Deploy(Row, frozen=True):
    event_id: str
    note: str | None = None


@table(key=("worker_id",), newest_by=("at",))
class Latest(Row, frozen=True):
    worker_id: str
    at: int


class Deploys(Projection):
    name = "deploys"
    version = 2
    tables = (Deploy,)

    @on_event("deploy.shipped")
    def shipped(self, event: Event) -> Operation:
        return insert(Deploy(org_id=event.org_id, event_id=event.event_id))

    @on_event("deploy.*", "deploy.shipped")
    def any_deploy(self, event: Event) -> None:
        pass

    @on_event()
    def anything(self, event: Event) -> None:
        pass


def _names(handlers: tuple[Callable[..., Any], ...]) -> list[str]:
    return [handler.__name__ for handler in handlers]


def test_a_projection_is_taken_apart() -> None:
    definition = define(Deploys)
    assert (definition.name, definition.version, definition.schema) == ("deploys", 2, "deploys_v2")
    assert definition.tables == (spec_of(Deploy),)
    assert definition.table(Deploy) is spec_of(Deploy)
    assert definition.resolves_workers
    assert not definition.ordered
    assert not definition.snapshots
    assert _said(lambda: definition.table(Latest)) == "deploys: Latest is not among its tables"


def test_each_handler_of_a_type_is_called_once_in_the_order_of_the_methods() -> None:
    events = define(Deploys).events
    assert _names(events.of("deploy.shipped")) == ["shipped", "any_deploy", "anything"]
    assert _names(events.of("deploy.failed")) == ["any_deploy", "anything"]
    assert _names(events.of("deploy")) == ["anything"]
    assert [_names(events.of(f"other.{n}")) for n in range(5000)] == [["anything"]] * 5000


def test_a_method_can_be_a_handler_of_several_kinds() -> None:
    class Everything(Projection):
        name = "everything"
        version = 1
        tables = (Deploy,)

        @on_event("a")
        @on_snapshot("b")
        @on_request()
        @on_reject()
        @on_identified()
        @on_fact(OrgFounded)
        def take(self, item: Any) -> None:
            pass

        @staticmethod
        @on_event("c")
        def take_plainly(item: Any) -> None:
            pass

    found = define(Everything)
    assert _names(found.events.of("a")) == _names(found.snapshots.of("b")) == ["take"]
    assert _names(found.requests.of("")) == _names(found.rejects.of("")) == _names(found.identified.of("")) == ["take"]
    assert _names(found.facts.of("OrgFounded")) == ["take"]
    assert found.facts.of(WorkersImported.__name__) == ()
    assert _names(found.events.of("c")) == ["take_plainly"]


def test_handlers_are_inherited_and_a_handler_takes_the_place_of_the_one_it_overrides() -> None:
    class More(Deploys):
        anything = None  # type: ignore[assignment]

        @on_event("other")
        def shipped(self, event: Event) -> None:  # type: ignore[override]
            pass

    events = define(More).events
    assert _names(events.of("deploy.shipped")) == ["any_deploy"]
    assert _names(events.of("other")) == ["shipped"]


class Latests(Projection):
    name = "latests"
    version = 1
    tables = (Latest,)
    ordered = True

    @on_snapshot()
    def keep(self, snapshot: Any) -> None:
        pass


def test_what_a_handler_need_not_be_given_it_may_take_beside_its_item() -> None:
    for take in (lambda self, event, more=1: None, lambda *all_of_it: None, staticmethod(lambda event: None)):
        assert _projection(take=on_event()(take))().events


def test_parts_make_one_projection_of_several() -> None:
    class Both(Projection):
        name = "both"
        version = 1
        parts = (Deploys, Latests)
        views = {"newest": "SELECT * FROM {schema}.latest"}  # noqa: RUF012

    found = define(Both)
    assert found.tables == (spec_of(Deploy), spec_of(Latest))
    assert found.ordered
    assert found.views == {"newest": "SELECT * FROM {schema}.latest"}
    assert _names(found.events.of("deploy.shipped")) == ["shipped", "any_deploy", "anything"]
    assert _names(found.snapshots.of("x")) == ["keep"]


def _projection(**members: Any) -> Callable[[], Any]:
    take = on_event()(lambda self, event: None)
    given = {"name": "deploys", "version": 1, "tables": (Deploy,), "take": take, **members}
    kept = {name: member for name, member in given.items() if member is not _GONE}
    return lambda: define(type("Mine", (Projection,), kept))


_GONE = object()


async def _waits(self: Any, event: Any) -> None:
    pass


class _Plain(Projection):
    name = "plain"
    version = 1
    parts = (Deploys,)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (_projection(name=_GONE), 'Mine: it has no name; give it one, such as name = "deploys"'),
        (_projection(version=_GONE), "Mine: it has no version; give it one, such as version = 1"),
        (_projection(version="1"), "Mine: it has no version; give it one, such as version = 1"),
        (_projection(version=0), "Mine: a name is lower case (letters, digits, _), a version 1 or more"),
        (_projection(version=True), "Mine: it has no version; give it one, such as version = 1"),
        (_projection(version=100_000), "Mine: a version is at most 99,999"),
        *(
            (
                _projection(take=on_event()(take)),
                "Mine.take: a handler takes one thing beside self, such as (self, event)",
            )
            for take in (lambda: None, lambda self: None, lambda self, a, b: None, lambda self, a, *, b: None)
        ),
        (_projection(name="My Deploys"), "Mine: a name is lower case (letters, digits, _), a version 1 or more"),
        *(
            (_projection(name=name), f"Mine: {name!r} may be a schema of somebody else: choose another name")
            for name in ("pg_mine", "public", "information_schema", "deploys_v1", "deploys_v12_check")
        ),
        (
            _projection(take=_GONE),
            "Mine: it has no handler: mark a method with @on_event() or another of its kind",
        ),
        (
            _projection(tables=()),
            "Mine: its handlers have no table to write to: list one, such as tables = (PerService,)",
        ),
        (_projection(tables=Deploy), "Mine: tables is a tuple; write (Table,) for one"),
        (_projection(parts=Deploys), "Mine: parts is a tuple; write (Part,) for one"),
        (_projection(tables=(Deploy, Deploy)), "Mine: two tables are called deploys"),
        (
            _projection(tables=(type("Bare", (Row,), {}),)),
            "Bare: it has no table: put @table(key=(...)) before the class",
        ),
        (_projection(views={"My view": "SELECT 1"}), "Mine: a view cannot be called 'My view'"),
        (
            _projection(parts=(Deploys,)),
            "Mine: what has parts has no tables or handlers itself: make them one more part",
        ),
        (
            _projection(parts=(_Plain,), take=_GONE, tables=_GONE),
            "Mine: its part _Plain has parts itself: name those instead",
        ),
        (
            _projection(ordered=True, resolves_workers=False),
            "Mine: ordered and @on_identified() need workers: leave resolves_workers = True",
        ),
        (
            _projection(take=on_identified()(lambda self, seen: None), resolves_workers=False),
            "Mine: ordered and @on_identified() need workers: leave resolves_workers = True",
        ),
        (
            _projection(take=on_event()(_waits)),
            "Mine.take: a handler is a plain function, not async: there is nothing to wait for",
        ),
        (
            lambda: define(type("Mine", (Deploys,), {"shipped": lambda self, event: None})),
            "Mine.shipped: it hides a handler and is none: mark it too, or set it to None",
        ),
        (lambda: on_event(_waits), "@on_event: it takes types as text; write @on_event() for all"),  # type: ignore[arg-type]
        (lambda: on_snapshot(_waits), "@on_snapshot: it takes types as text; write @on_snapshot() for all"),  # type: ignore[arg-type]
        (lambda: on_fact(_waits), "@on_fact: it takes classes of facts; write @on_fact() for all"),  # type: ignore[arg-type]
        (
            lambda: on_event("deploy.*.failed"),
            "@on_event: 'deploy.*.failed' would never match: a * stands at the end only",
        ),
    ],
)
def test_a_projection_that_cannot_be_is_refused(make: Callable[[], Any], said: str) -> None:
    assert _said(make) == said
