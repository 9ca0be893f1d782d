"""Rows into Parquet's columns, and back."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from arro3.core import Array, DataType, Field, RecordBatch, Schema, Table
from arro3.io import read_parquet

from wepeople_archive.errors import Damaged

_TAIL_BYTES = 8
_MAGIC = b"PAR1"
_NUMBER = DataType.int64()


@dataclass(frozen=True, slots=True)
class Column:
    """One column; one that is `optional` may be empty. Instants come and go as whole numbers of their unit."""

    name: str
    type: DataType
    optional: bool = False


def table_of(columns: Sequence[Column], rows: Sequence[tuple[Any, ...]]) -> Table:
    """The rows, each with a value for every column."""
    schema = Schema([Field(column.name, column.type, nullable=column.optional) for column in columns])
    values: Iterable[tuple[Any, ...]] = zip(*rows, strict=True) if rows else [()] * len(columns)
    arrays = [_array(column, list(of_column)) for column, of_column in zip(columns, values, strict=True)]
    return Table.from_batches([RecordBatch.from_arrays(arrays, schema=schema)], schema=schema)


def _array(column: Column, values: list[Any]) -> Array:
    return (
        Array(values, type=_NUMBER).cast(column.type) if _is_instant(column.type) else Array(values, type=column.type)
    )


def read_rows(
    name: str, data: bytes, columns: Sequence[str], *, rows_at_once: int
) -> tuple[dict[bytes, bytes], Iterator[Iterator[tuple[Any, ...]]]]:
    """What a file's footer says, and its rows, only these columns of them, some at a time; `Damaged` when it cannot be
    read.
    """
    if len(data) <= _TAIL_BYTES or data[-4:] != _MAGIC or data[:4] != _MAGIC:
        raise Damaged(name, "it is no whole Parquet file")
    try:
        reader = read_parquet(data, batch_size=rows_at_once)
        metadata = dict(reader.schema.metadata)
    except BaseException as error:
        raise _damaged(name, error) from None
    return metadata, _rows(name, reader, columns)


def _rows(name: str, reader: Any, columns: Sequence[str]) -> Iterator[Iterator[tuple[Any, ...]]]:
    while True:
        try:
            batch = reader.read_next_batch()
            arrays = [batch.column(column) for column in columns]
            values = [_plain(array) for array in arrays]
        except StopIteration:
            return
        except BaseException as error:
            raise _damaged(name, error) from None
        yield zip(*values, strict=True)


def _plain(array: Any) -> list[Any]:
    values: list[Any] = (array.cast(_NUMBER) if _is_instant(array.type) else array).to_pylist()
    return values


def _is_instant(kind: DataType) -> bool:
    # Its stubs call it a guard, and would have nothing be anything else afterwards.
    return bool(DataType.is_timestamp(kind))


def _damaged(name: str, error: BaseException) -> BaseException:
    """The library's panics are no `Exception`; what is not of it goes on as it is."""
    if isinstance(error, Exception) or type(error).__name__ == "PanicException":
        return Damaged(name, str(error))
    return error
