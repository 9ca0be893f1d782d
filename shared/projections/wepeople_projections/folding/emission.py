"""Calls handlers, and says what went wrong when they cannot take an item."""

import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from wepeople_projections.definition.operations import Operation
from wepeople_projections.definition.projection import Handler
from wepeople_projections.definition.table import Row
from wepeople_projections.errors import OperationError

_OPERATIONS = frozenset(get_args(Operation))
_HERE = str(Path(__file__).parent)
_LONGEST_REASON = 1000


def emitted(handlers: Sequence[Handler], item: Any) -> Sequence[Operation]:
    """What the handlers make of an item, in their order; whatever they raise, and `OperationError` when one returns
    what is no operation.
    """
    if len(handlers) == 1:
        result = handlers[0](item)
        if type(result) in _OPERATIONS:
            return (result,)  # type: ignore[return-value]  # it is one of them
        return _several(result)
    return [operation for handler in handlers for operation in _several(handler(item))]


def reason_of(error: BaseException) -> str:
    """An error in words, with the line of the handler that it came from."""
    try:
        text = str(error)
    except Exception:  # the error is the handler's own class, and may do anything
        text = ""
    said = f"{type(error).__name__}: {text}" if text else type(error).__name__
    for frame, line in traceback.walk_tb(error.__traceback__):
        code = frame.f_code
        if not code.co_filename.startswith(_HERE):
            return f"{said[:_LONGEST_REASON]} (in {code.co_name}, {Path(code.co_filename).name} line {line})"
    return said[:_LONGEST_REASON]


def _several(result: Any) -> Sequence[Operation]:
    if result is None:
        return ()
    if type(result) in _OPERATIONS:
        return (result,)
    if isinstance(result, Row):
        raise OperationError(
            f"a handler returned a {type(result).__name__}; say what to do with it: insert, upsert or add"
        )
    operations = list(result)
    for operation in operations:
        if type(operation) not in _OPERATIONS:
            shown = type(operation).__name__
            raise OperationError(f"a handler emitted a {shown}; it takes insert, upsert, add, delete and sql")
    return operations
