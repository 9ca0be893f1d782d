"""Decides what must change of the stream and of the bucket, and what a running one cannot change."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from wepeople_contracts.subjects import LEASE_STREAM, PARTITIONS, STREAMS, lease_subject, partitions_in, stream_subjects
from wepeople_provision.change import Change
from wepeople_provision.stream_layout import evenly, spelled

MAX_MESSAGE_BYTES = 12 * 1024 * 1024
DUPLICATE_WINDOW_NANOSECONDS = 600 * 1_000_000_000
CONSUMER_NANOSECONDS = 60 * 1_000_000_000
"""When a consumer that nobody asks any more is gone at the latest, whoever made it; readers wish for half of it."""

SETTINGS: dict[str, Any] = {
    "storage": "file",
    "retention": "limits",
    "discard": "new",
    "duplicate_window": DUPLICATE_WINDOW_NANOSECONDS,
    "max_msg_size": MAX_MESSAGE_BYTES,
    "max_msgs": -1,
    "max_bytes": -1,
    "max_age": 0,
    "max_msgs_per_subject": -1,
    "deny_delete": False,
    "deny_purge": False,
    "allow_direct": False,
    "consumer_limits": {"inactive_threshold": CONSUMER_NANOSECONDS},
}
"""What holds for every stream of every deployment; no limit among them deletes a message."""

BUCKET_SETTINGS: dict[str, Any] = {
    "subjects": [lease_subject(stream) for stream in STREAMS],
    "storage": "file",
    "retention": "limits",
    "discard": "new",
    "max_msgs_per_subject": 1,
    "max_msg_size": 1024,
    "max_age": 0,
    "deny_delete": True,
    "allow_rollup_hdrs": True,
    "allow_direct": False,
}
"""A key-value bucket is a stream with these settings, for a key and one small entry of each stream that may be: this
bounds its bytes, whatever somebody has the server put there. Nothing in it ever expires: a lease is what its holder
says.
"""

NUMBER_OF_REPLICAS = 1
"""Of a new stream for which nobody wishes another number."""

_SAVE_AND_RESTORE = (
    "The server cannot change this in place. Save the stream (`wepeople stream backup DIRECTORY`), delete it and bring "
    "it back (`wepeople stream restore DIRECTORY`); the services wait meanwhile, and clients get 503."
)
_HINTS: Mapping[str, str] = {
    "num_replicas": (
        "So many copies want as many servers in one NATS cluster, all of them up: see to that, or set "
        "WEPEOPLE_STREAM_REPLICAS to what there is."
    ),
    "max_bytes": (
        "The server has not so much room for JetStream: give it more (`max_file_store`), or set "
        "WEPEOPLE_STREAM_MAX_BYTES to less."
    ),
}


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a deployment decides for itself: how many copies (None: a running stream's are kept), how many bytes each
    stream may have (None: as many as the server has room for; a full stream refuses what is new), and how many streams
    it begins with (None: one, and however many there are).
    """

    replicas: int | None = None
    max_bytes: int | None = None
    streams: int | None = None


NO_WISHES = Wishes()


@dataclass(frozen=True, slots=True)
class Existing:
    """A stream as the server has it."""

    config: Mapping[str, Any]
    stored_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Difference:
    """A setting that is not what it should be; `refused` says why it cannot be, and what to do."""

    name: str
    found: Any
    wanted: Any
    refused: str = ""

    def __str__(self) -> str:
        return f"{self.name} {json.dumps(self.found)} -> {json.dumps(self.wanted)}"


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """What to do: `create` the stream, or send `update` (a whole configuration), or nothing when both are None."""

    name: str
    replicas: int
    create: dict[str, Any] | None = None
    update: dict[str, Any] | None = None
    differences: list[Difference] = field(default_factory=list)

    @property
    def changes(self) -> list[Change]:
        """The plan in words."""
        if self.create is not None:
            return [Change("stream", self.name, "create")]
        return [Change("stream", self.name, "set", str(d), d.refused) for d in self.differences]


def plan_streams_there(existing: Mapping[str, Existing], wishes: Wishes) -> list[StreamPlan]:
    """What to do about the streams: those of a new deployment, or the settings of those that there are.

    A mirror is left alone, and whose partitions are whose: that is for `wepeople stream split`.
    """
    if not existing:
        return [
            _plan(place.name, None, _settings(wishes) | {"subjects": stream_subjects(place.partitions)})
            for place in evenly(wishes.streams or 1)
        ]
    return [
        _plan(name, stream, _settings(wishes) | {"subjects": _subjects(stream)})
        for name, stream in existing.items()
        if "mirror" not in stream.config
    ]


def refuse_other_streams(existing: Mapping[str, Existing], wishes: Wishes) -> list[Change]:
    """What about the streams that there are is not for a provisioner to mend, and what is."""
    if not existing:
        return []
    refused = []
    taken = partitions_in(subject for stream in existing.values() for subject in stream.config.get("subjects") or [])
    splitting = any("mirror" in stream.config for stream in existing.values())
    if len(taken) < PARTITIONS and not splitting:
        nobodys = spelled(frozenset(range(PARTITIONS)) - taken)
        what = f"that takes partitions {nobodys} is not there"
        why = "If it is lost, bring its copy back: `wepeople stream restore DIRECTORY`."
        refused.append(Change("stream", "", "create", what, why))
    if wishes.streams is not None and wishes.streams != len(existing):
        fewer = wishes.streams < len(existing)
        why = (
            f"Streams are never joined: set WEPEOPLE_STREAMS to {len(existing)}, or leave it out."
            if fewer
            else "It is for new deployments. `wepeople stream split --into "
            f"{wishes.streams}` splits those that there are while requests come in; until then, leave it out."
        )
        what = f"number of streams {len(existing)} -> {wishes.streams}"
        refused.append(Change("stream", next(iter(existing)), "set", what, why))
    return refused


def plan_bucket(existing: Existing | None, replicas: int) -> StreamPlan:
    """What to do about the bucket of quota's leases, which has as many copies as the streams."""
    return _plan(LEASE_STREAM, existing, BUCKET_SETTINGS | {"num_replicas": replicas})


def _settings(wishes: Wishes) -> dict[str, Any]:
    wished = {"num_replicas": wishes.replicas, "max_bytes": wishes.max_bytes}
    return SETTINGS | {name: value for name, value in wished.items() if value is not None}


def _subjects(existing: Existing) -> list[str]:
    """What the stream takes, its partitions spelled as ours are, and nothing else under `ingest`."""
    found: list[str] = existing.config.get("subjects") or []
    own = stream_subjects(partitions_in(found))
    others = [subject for subject in found if subject.partition(".")[0] != "ingest"]
    return found if set(found) == {*own, *others} else [*own, *others]


def hint(name: str) -> str:
    """What to do when the server refuses to change this setting."""
    return _HINTS.get(name, _SAVE_AND_RESTORE)


def _plan(name: str, existing: Existing | None, settings: dict[str, Any]) -> StreamPlan:
    """Settings that are not ours stay as they are."""
    if existing is None:
        new: dict[str, Any] = {"name": name, "num_replicas": NUMBER_OF_REPLICAS} | settings
        return StreamPlan(name, new["num_replicas"], create=new)
    differences = [
        Difference(setting, found, wanted, _refused(setting, found, wanted, existing.stored_bytes))
        for setting, wanted in settings.items()
        if (found := existing.config.get(setting, _absent(wanted))) != wanted
    ]
    after = dict(existing.config) | settings
    update = after if differences else None
    return StreamPlan(name, after.get("num_replicas", NUMBER_OF_REPLICAS), update=update, differences=differences)


def _refused(setting: str, found: Any, wanted: Any, stored_bytes: int) -> str:
    if setting == "storage" or (setting in ("deny_delete", "deny_purge") and found and not wanted):
        return _SAVE_AND_RESTORE
    if setting == "retention" and "workqueue" in (found, wanted):
        return _SAVE_AND_RESTORE
    if setting == "max_bytes" and 0 < wanted < stored_bytes:
        return (
            f"The stream holds {stored_bytes} bytes already, so it would refuse every request. Nothing in it may be "
            "deleted: set WEPEOPLE_STREAM_MAX_BYTES to more than that."
        )
    return ""


def _absent(wanted: Any) -> Any:
    """The server leaves false and zero out of its answers."""
    return type(wanted)() if isinstance(wanted, bool | int) else None
