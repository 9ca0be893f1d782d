"""A history of several orgs, drawn from a seed: foundings, requests of all kinds, imports."""

import random
from collections.abc import Sequence

import msgspec

from tests.support.stored import envelope, founded, imported, raw
from wepeople_contracts.directory import DirectoryFact
from wepeople_contracts.envelope import AcceptedRow, Envelope, RejectedRow
from wepeople_contracts.ids import client_event_id, new_id

Message = Envelope | DirectoryFact


def random_history(seed: int, length: int, orgs: int = 6, *, poison: Sequence[str] = ()) -> list[Message]:
    """Every third event or so is named by its sender, by one of so few names that most come again; one in thirty is of
    a type of `poison`, and as many have metadata that JSONB cannot hold.
    """
    choose = _Choose(seed, poison)
    ids = [new_id("org") for _ in range(orgs)]
    return [*map(founded, ids), *(_message(choose, choose.choice(ids)) for _ in range(length))]


class _Choose(random.Random):
    def __init__(self, seed: int, poison: Sequence[str]) -> None:
        super().__init__(seed)
        self.types = ("begin", "end", "deploy.shipped", "call.taken"), tuple(poison) or ("meeting",)

    def event_type(self) -> str:
        return self.choice(self.types[self.randrange(30) == 0])


def _message(choose: _Choose, org: str) -> Message:
    kind = choose.choices(("events", "snapshot", "import"), (8, 2, 1))[0]
    if kind == "import":
        people = [(f"m{choose.randrange(30)}@x.com", choose.choice(("", "Alex", "Bo"))) for _ in range(4)]
        return imported(org, *people)
    app = choose.choice(("app_1", "app_2"))
    if kind == "snapshot":
        row = {"snapshotType": "gauge", "metrics": {"n": choose.random()}, "actor": _actor(choose)}
        return envelope(org, [raw(row)], app_id=app, slug=app[-1], kind="snapshot")
    rows = [
        {
            "eventType": choose.event_type(),
            "category": "code",
            "metadata": {"name": "\0" if choose.randrange(30) == 0 else choose.random()},
            "duration": choose.choice((0.1, 2, 3.75)),
            "actor": _actor(choose),
        }
        for _ in range(choose.choice((1, 2, 12)))
    ]
    return _named(choose, envelope(org, list(map(raw, rows)), app_id=app, slug=app[-1]))


def _named(choose: random.Random, request: Envelope) -> Envelope:
    app = request.org_id + request.app_id
    accepted = [
        AcceptedRow(row.index, client_event_id(app, str(choose.randrange(40))), row.raw, True)
        if choose.randrange(3) == 0
        else row
        for row in request.accepted
    ]
    rejected = [RejectedRow(len(accepted), "invalid_body", "Mend it.", None, False, b'{"eventType": 17}')]
    return msgspec.structs.replace(request, accepted=accepted, rejected=rejected * choose.randrange(2))


def _actor(choose: random.Random) -> dict[str, str]:
    names = {
        "workerId": "wrk_nobody",
        "externalId": f"e{choose.randrange(30)}",
        "email": f"M{choose.randrange(30)}@x.com",
    }
    kept = choose.choices((("externalId",), ("email",), ("externalId", "email"), tuple(names)), (4, 3, 3, 1))[0]
    return {name: names[name] for name in kept}
