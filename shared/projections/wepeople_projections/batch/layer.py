"""What operations, one after the other, come to for one table, so that a whole batch is written at once.

A layer is written in this order:

1. *Expiry*: of each org in `expire`, the table's rows with `expires_by` at or before its instant go; but of a key in
   `touched` only at or before the instant there (None: it stays).
2. *Absence*: none of the keys in `absent` may be in the table; else the batch is refused, as by an insert.
3. *Deletes*: the rows with the keys in `deleted` go, those that are there.
4. *Inserts*: `inserted` are new. A key that is in the table refuses the batch.
5. *Merges*: `upserted` rows are merged into the ones with their keys, `added` ones summed onto them; both are inserted
   where there is none.

Why that is the same as one by one. No key is in two of `inserted`, `upserted`, `added`, `absent`; only `inserted` may
be in `deleted` too (deleted, then inserted: no conflict). So for each key the steps come to what its operations come
to: an insert and what followed is one row that must not have been there; an insert and a delete leave only that it
must not have been there; upserts are one upsert, as merging is associative. Rows of the table are older than every
message of the layer, so they go when the latest of its instants is past theirs; except that a row which was there when
its key was inserted or merged is in the way, or merged: `touched` holds how late it was then. Rows of the layer itself
go by `pass_time`, when a later message is stored at their instant or after it.

What Postgres might refuse is not merged, deleted or let go unseen: there, a new layer begins.
"""

from collections.abc import Callable
from functools import partial
from heapq import heappop, heappush
from itertools import count
from operator import attrgetter
from typing import Any

from wepeople_projections.batch.merge import Key, problem_of_row, rules_of
from wepeople_projections.definition.table import Row, TableSpec
from wepeople_projections.errors import OperationError

_Rows = dict[Key, Row]
_UNTOUCHED = object()
_Merge = Callable[[Row, Row], Row]
_Check = Callable[[Row], bool]
Undo = list[Callable[[], Any]]
"""What takes back the steps taken so far, the last one first."""


class Layer:
    """One table's. `is_plain`: it has only inserts, and rows that never expire."""

    __slots__ = (
        "_doubtful",
        "_due",
        "_expires_at",
        "_pushed",
        "absent",
        "added",
        "deleted",
        "expire",
        "inserted",
        "is_plain",
        "key_of",
        "rules",
        "spec",
        "touched",
        "upserted",
    )

    def __init__(self, spec: TableSpec) -> None:
        self.spec = spec
        self.rules = rules_of(spec)
        self.key_of = self.rules.key_of
        self.is_plain = spec.expires_by is None
        self.inserted: _Rows = {}
        self.upserted: _Rows = {}
        self.added: _Rows = {}
        self.deleted: set[Key] = set()
        self.absent: set[Key] = set()
        self.expire: dict[str, int] = {}
        self.touched: dict[Key, int | None] = {}
        self._doubtful: set[Key] = set()
        self._due: dict[str, list[tuple[int, int, Key]]] = {}
        self._pushed = count()
        self._expires_at: Callable[[Row], int | None] | None = None
        if spec.expires_by is not None:
            self._expires_at = attrgetter(spec.expires_by)

    def pending(self, key: Key) -> Row | None:
        """The row that the layer holds for a key."""
        return self.inserted.get(key) or self.upserted.get(key) or self.added.get(key)

    def insert(self, key: Key, row: Row, undo: Undo) -> None:
        """A new row; `OperationError` when the layer has one with its key."""
        if self.pending(key) is not None:
            raise twice(self.spec, key)
        self._change(key, undo)
        self.absent.discard(key)
        self._put(self.inserted, key, row)

    def upsert(self, key: Key, row: Row, undo: Undo) -> bool:
        """Merge a row; False, and nothing is done, when it takes a new layer."""
        return self._merge(key, row, undo, own=self.upserted, merge=self.rules.merged, check=self.rules.is_sure)

    def add(self, key: Key, row: Row, undo: Undo) -> bool:
        """Sum a row onto another; False, and nothing is done, when it takes a new layer."""
        return self._merge(key, row, undo, own=self.added, merge=self.rules.summed, check=self.rules.is_sure_to_add)

    def delete(self, key: Key, undo: Undo) -> bool:
        """The row with the key goes; False, and nothing is done, when it takes a new layer."""
        there = self.pending(key)
        if there is not None and not self._is_sure(key, there):
            return False
        self._change(key, undo)
        if there is not None:
            self._drop(key)
        elif key not in self.absent:
            self.deleted.add(key)
        return True

    def pass_time(self, org_id: str, stored_at_us: int) -> bool:
        """A message of the org was stored then; False when it takes a new layer, to which to say it too."""
        due, expires_at = self._due.get(org_id, ()), self._expires_at
        assert expires_at is not None
        while due and due[0][0] <= stored_at_us:
            key = due[0][2]
            row = self.pending(key)
            at_us = None if row is None else expires_at(row)
            if row is not None and at_us is not None and at_us <= stored_at_us:
                if not self._is_sure(key, row):
                    return False
                self._drop(key)
            heappop(due)
        known = self.expire.get(org_id)
        if known is None or known < stored_at_us:
            self.expire[org_id] = stored_at_us
        return True

    def _merge(self, key: Key, row: Row, undo: Undo, *, own: _Rows, merge: _Merge, check: _Check) -> bool:
        is_sure = check(row)
        if not is_sure and (problem := problem_of_row(self.spec, row)):
            raise OperationError(problem)
        there, holder = own.get(key), own
        if there is not None:
            if not (is_sure and key not in self._doubtful):
                return False
            undo.append(partial(own.__setitem__, key, there))
        else:
            there = self.pending(key)
            if there is not None:
                holder = self.inserted if key in self.inserted else self.upserted
                if holder is self.upserted and not self.rules.sums_after_upsert:
                    return False
                if not (is_sure and self._is_sure(key, there)):
                    return False
            elif key in self.absent or key in self.deleted:
                # A row that is known not to be there is as good as inserted.
                holder = self.inserted
            self._change(key, undo)
            self.absent.discard(key)
            self.added.pop(key, None)
        if there is not None:
            row = merge(there, row)
            is_sure = not self.rules.can_outgrow or check(row)
        if not is_sure and key not in self._doubtful:
            self._doubtful.add(key)
            undo.append(partial(self._doubtful.remove, key))
        self._put(holder, key, row)
        return True

    def _is_sure(self, key: Key, row: Row) -> bool:
        """Whether Postgres takes the pending row beyond doubt. Inserts were not looked at when they came."""
        return self.rules.is_sure(row) if key in self.inserted else key not in self._doubtful

    def _put(self, rows: _Rows, key: Key, row: Row) -> None:
        rows[key] = row
        if self._expires_at is not None:
            self.touched.setdefault(key, self.expire.get(row.org_id))
            at_us = self._expires_at(row)
            if at_us is None:
                return
            if at_us.__class__ is not int:
                raise OperationError(
                    f"{self.spec.row.__name__}.{self.spec.expires_by} is {at_us!r}, but the column takes an int"
                )
            heappush(self._due.setdefault(row.org_id, []), (at_us, next(self._pushed), key))

    def _drop(self, key: Key) -> None:
        """The pending row goes."""
        if self.inserted.pop(key, None) is None:
            self.upserted.pop(key, None)
            self.added.pop(key, None)
            self.deleted.add(key)
        elif key not in self.deleted:
            self.absent.add(key)

    def _change(self, key: Key, undo: Undo) -> None:
        """The key is about to change, and not by an insert into a plain layer."""
        self.is_plain = False
        marks = key in self.deleted, key in self.absent
        rows = self.inserted.get(key), self.upserted.get(key), self.added.get(key)
        touched = self.touched.get(key, _UNTOUCHED)
        undo.append(partial(self._restore, key, marks, rows, touched))

    def _restore(self, key: Key, marks: tuple[bool, bool], rows: tuple[Row | None, ...], touched: Any) -> None:
        for keys, was_there in zip((self.deleted, self.absent), marks, strict=True):
            keys.discard(key)
            if was_there:
                keys.add(key)
        for held, row in zip((self.inserted, self.upserted, self.added), rows, strict=True):
            held.pop(key, None)
            if row is not None:
                held[key] = row
        self.touched.pop(key, None)
        if touched is not _UNTOUCHED:
            self.touched[key] = touched


def twice(spec: TableSpec, key: Key) -> OperationError:
    """A key was inserted that is there."""
    return OperationError(f"{spec.name} has a row with the key {key!r} already")
