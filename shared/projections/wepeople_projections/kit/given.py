"""given(...).expect(...): what a test says, and what is checked besides."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from wepeople_contracts.directory import normalize_email
from wepeople_projections.definition.projection import Projection, define
from wepeople_projections.definition.table import Row, TableSpec, spec_of
from wepeople_projections.folding.identity import Identifier
from wepeople_projections.folding.parked import WHOLE_MESSAGE, Parked
from wepeople_projections.kit.build import Build, plans
from wepeople_projections.kit.comparison import compare, shown
from wepeople_projections.kit.items import DEFAULT_APP, DEFAULT_ORG, Item
from wepeople_projections.kit.stored import app_id_of, messages_of


class Somebody(str):
    """Stands for a worker's id in expected rows; the text says who is meant."""

    identifier: Identifier


def worker(named: str, *, org: str = DEFAULT_ORG, app: str = DEFAULT_APP) -> str:
    """The id of the worker who is known by this email, or by this externalId of the app. For expected rows only: whose
    it is, is known once all that was given is there.
    """
    found = Somebody(f"worker({named})")
    if "@" in named:
        found.identifier = Identifier(org, "email", org, normalize_email(named))
    else:
        found.identifier = Identifier(org, "externalId", app_id_of(org, app), named)
    return found


def given(projection: type[Projection], *items: Item | Iterable[Item]) -> "Given":
    """Store these, one after the other, and build the projection from them. `DefinitionError` when it cannot be one."""
    flat: list[Item] = []
    for item in items:
        flat += item if isinstance(item, Iterable) else [item]
    return Given(projection, flat)


class Given:
    """What was stored. Each expectation may be followed by another; an `AssertionError` shows what differs.

    Before the first, the projection is built again with every message delivered twice, all in one batch, and in
    batches cut at random: each build must come to the same rows.
    """

    def __init__(self, projection: type[Projection], items: Sequence[Item]) -> None:
        definition = define(projection)
        ways = plans(messages_of(items))
        self._name = projection.__name__
        self._expected_parked: set[tuple[int, int]] = set()
        self._build = Build(definition).run(next(ways))
        for plan in ways:
            _same(self._build, Build(definition).run(plan), plan.words)

    def expect(self, table: type[Row], rows: Sequence[Row | Mapping[str, Any]]) -> "Given":
        """The table has these rows and no others, in whatever order; a row as a mapping may leave out columns. Nothing
        is parked that `expect_parked` did not say before.
        """
        __tracebackhide__ = True
        self._expect_nothing_else_parked()
        spec = self._build.definition.table(table)
        comparison = compare(spec, [self._expected(spec, row) for row in rows], self._build.tables.rows(spec))
        if comparison.differs:
            raise AssertionError(f"{table.__name__} has other rows than expected:\n\n{shown(spec, comparison)}")
        return self

    def expect_parked(self, reason: str) -> "Given":
        """Something is parked, for a reason with this text in it."""
        __tracebackhide__ = True
        parked = self._build.parked()
        found = {place for place, row in parked.items() if reason in row.reason}
        if not found:
            there = f"but only:\n\n{_listed(parked.values())}" if parked else "nothing is."
            raise AssertionError(f"nothing is parked because of {reason!r}; {there}")
        self._expected_parked |= found
        return self

    def _expect_nothing_else_parked(self) -> None:
        __tracebackhide__ = True
        parked = [row for place, row in self._build.parked().items() if place not in self._expected_parked]
        if parked:
            raise AssertionError(
                f"{self._name} could not take everything, and a rebuild would stop there:\n\n{_listed(parked)}\n\n"
                "If that is meant, say .expect_parked('...') before .expect(...)."
            )

    def _expected(self, spec: TableSpec, row: Row | Mapping[str, Any]) -> dict[str, Any]:
        if isinstance(row, Row):
            if type(row) is not spec.row:
                raise TypeError(f"a row of {type(row).__name__} is none of {spec.row.__name__}")
            values = {name: getattr(row, name) for name in spec.names}
        else:
            values = dict(row)
        if unknown := values.keys() - set(spec.names):
            raise TypeError(f"{spec.row.__name__} has no column {', '.join(sorted(unknown))}")
        return {name: self._known(value) if isinstance(value, Somebody) else value for name, value in values.items()}

    def _known(self, somebody: Somebody) -> str:
        found = self._build.tables.bindings([somebody.identifier])[somebody.identifier]
        if found is None:
            raise AssertionError(f"nobody is known by {somebody.identifier.value!r}: no accepted row named it")
        return found


def _same(plain: Build, other: Build, words: str) -> None:
    __tracebackhide__ = True
    advice = (
        "A handler may use nothing but what it is given: no clock, no random number, nothing remembered from call to "
        "call; and `Identified` may come more than once for what is known already."
    )
    for table, rows in plain.rows().items():
        expected = [{name: getattr(row, name) for name in spec_of(table).names} for row in rows]
        comparison = compare(spec_of(table), expected, other.rows()[table])
        if comparison.differs:
            marks = ("one message a batch", words)
            raise AssertionError(
                f"your handler is not a pure function of the stream: built again ({words}), {table.__name__} has other "
                f"rows:\n\n{shown(spec_of(table), comparison, marks)}\n\n{advice}"
            )
    if plain.parked().keys() != other.parked().keys():
        raise AssertionError(
            f"your handler is not a pure function of the stream: built again ({words}), something else is parked:\n\n"
            f"{_listed(other.parked().values()) or '  nothing'}\n\nbefore, that was:\n\n"
            f"{_listed(plain.parked().values()) or '  nothing'}\n\n{advice}"
        )


def _listed(parked: Iterable[Parked]) -> str:
    lines = []
    for row in parked:
        part = "all of message" if row.row_index == WHOLE_MESSAGE else f"row {row.row_index} of message"
        lines.append(f"  {part} {row.message.sequence}: {row.reason}")
    return "\n".join(lines)
