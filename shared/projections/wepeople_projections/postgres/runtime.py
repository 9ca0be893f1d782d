"""Rows of the tables that every projection has, where there are many of them."""

from wepeople_projections.definition.columns import columns_of
from wepeople_projections.definition.table import Row, TableSpec


class BoundIdentifier(Row, frozen=True):
    """To which worker an identifier is bound."""

    kind: str
    scope: str
    value: str
    worker_id: str


class NamedEvent(Row, frozen=True):
    """An event that its sender named."""

    event_id: str


def _spec(row: type[Row], name: str, key: tuple[str, ...]) -> TableSpec:
    # Not by @table, which keeps these names from everybody.
    row.__table__ = TableSpec(
        row=row,
        name=name,
        columns=columns_of(row),
        key=key,
        indexes=(),
        newest_by=(),
        expires_by=None,
        in_key_order=True,
        description="",
    )
    return row.__table__


BOUND = _spec(BoundIdentifier, "identifiers", ("org_id", "kind", "scope", "value"))
NAMED = _spec(NamedEvent, "named_events", ("event_id",))
