"""Reads what older releases stored as the newest version of it.

An upcaster is a pure function from version N to N + 1. It works on the decoded form without types, a mapping of the
struct's fields, because the present struct need not fit what is old. Each stored type has one chain of them, beside
its contract; docs/adr/0002-envelope.md says when a version is raised.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

import msgspec
from msgspec import DecodeError
from msgspec.msgpack import Decoder

Upcaster = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Takes a version's fields, unchangeable, and returns the next version's; `version` itself is set by the chain."""

_decoder = msgspec.msgpack.Decoder(dict[str, Any])
_encoder = msgspec.msgpack.Encoder()

FIRST_VERSION = 1
"""What has no version is of this one: facts had none at first."""


class Versioned(Protocol):
    """A stored struct, which says what version it is of."""

    @property
    def version(self) -> int:
        """From 1 on."""


T = TypeVar("T", bound=Versioned)


class NewerVersion(ValueError):
    """What is stored was written by a newer release, and reading it as what is known would be a guess."""

    def __init__(self, what: str, version: int, known: int) -> None:
        super().__init__(f"{what} version {version} is unknown to this release, which knows {known}; upgrade first")
        self.what = what
        self.version = version
        self.known = known


class Chain:
    """The versions of one stored type, up to `newest`; `upcasters` has the step from each version to the next.

    A `ValueError` when a step is missing or leads nowhere: that is seen when the contract is imported.
    """

    def __init__(self, what: str, newest: int, upcasters: Mapping[int, Upcaster]) -> None:
        steps = range(FIRST_VERSION, newest)
        if set(upcasters) != set(steps):
            raise ValueError(f"{what} version {newest} needs upcasters from {[*steps]}, but has {sorted(upcasters)}")
        self._what = what
        self._newest = newest
        self._upcasters = dict(upcasters)

    def read(self, decoder: Decoder[T], data: bytes) -> T:
        """Decode what is stored; `NewerVersion`, or `DecodeError` when it is not of this type. Both are `ValueError`.

        What is of the newest version is decoded once, with its type.
        """
        try:
            found = decoder.decode(data)
        except (DecodeError, UnicodeDecodeError, RecursionError):
            # An old version need not fit the present struct.
            fields = _fields(data)
            if self._version(fields) == self._newest:
                raise
        else:
            if found.version == self._newest:
                return found
            fields = _fields(data)
        return decoder.decode(_encoder.encode(self.lift(fields)))

    def lift(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """The fields as the newest version has them; `NewerVersion`, or `DecodeError` when a step cannot take them."""
        for version in range(self._version(fields), self._newest):
            try:
                fields = {**self._upcasters[version](MappingProxyType(dict(fields))), "version": version + 1}
            except Exception as error:
                raise DecodeError(f"not {self._what} version {version}: {error!r}") from error
        return fields

    def _version(self, fields: Mapping[str, Any]) -> int:
        version = fields.get("version", FIRST_VERSION)
        if type(version) is not int or version < FIRST_VERSION:
            raise DecodeError(f"{version!r} is no version of {self._what}")
        if version > self._newest:
            raise NewerVersion(self._what, version, self._newest)
        return version


def _fields(data: bytes) -> dict[str, Any]:
    try:
        return _decoder.decode(data)
    except (UnicodeDecodeError, RecursionError, TypeError) as error:
        raise DecodeError(str(error)) from error
