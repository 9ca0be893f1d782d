"""Which methods of a projection are handlers, and of what: decorators mark them."""

from collections.abc import Callable, Iterator
from inspect import getattr_static, isasyncgenfunction, iscoroutinefunction, signature
from typing import Any, NamedTuple, TypeVar

from wepeople_projections.errors import DefinitionError

F = TypeVar("F", bound=Callable[..., Any])
ALL = "*"
_MARKS = "__handles__"


class Marked(NamedTuple):
    """A handler: the method `name` takes the items of a kind whose types one of the patterns says."""

    name: str
    kind: str
    patterns: tuple[str, ...]


def mark(kind: str, patterns: tuple[str, ...]) -> Callable[[F], F]:
    """Mark a method as a handler, beside what it is marked as already."""

    def with_mark(method: F) -> F:
        setattr(_function(method), _MARKS, (*_marks(method), (kind, patterns)))
        return method

    return with_mark


def patterns_of(decorator: str, types: tuple[Any, ...]) -> tuple[str, ...]:
    """The types that a decorator was given, all if none; `DefinitionError` for one that could never match."""
    for pattern in types:
        if not isinstance(pattern, str):
            raise DefinitionError(f"@{decorator}", f"it takes types as text; write @{decorator}() for all")
        if ALL in pattern[:-1]:
            raise DefinitionError(f"@{decorator}", f"{pattern!r} would never match: a * stands at the end only")
    return types or (ALL,)


def marked(part: type[Any]) -> Iterator[Marked]:
    """The handlers of a class, its base classes' first, in the order of the methods."""
    for owner in reversed(part.__mro__):
        for name, member in vars(owner).items():
            if not (marks := _marks(member)):
                continue
            where, final = f"{part.__name__}.{name}", getattr_static(part, name)
            if final is not None and not _marks(final):
                raise DefinitionError(where, "it hides a handler and is none: mark it too, or set it to None")
            if iscoroutinefunction(_function(final)) or isasyncgenfunction(_function(final)):
                raise DefinitionError(where, "a handler is a plain function, not async: there is nothing to wait for")
            if final is member:
                yield from (Marked(name, kind, patterns) for kind, patterns in reversed(marks))


def check_takes_one(where: str, handler: Callable[..., Any]) -> None:
    """`DefinitionError` for a bound handler that cannot be called with one item: every row would be parked."""
    try:
        signature(handler).bind(None)
    except (TypeError, ValueError) as error:
        raise DefinitionError(where, "a handler takes one thing beside self, such as (self, event)") from error


def _marks(member: Any) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return getattr(_function(member), _MARKS, ())


def _function(member: Any) -> Any:
    """What is inside a staticmethod or a classmethod."""
    return getattr(member, "__func__", member)
