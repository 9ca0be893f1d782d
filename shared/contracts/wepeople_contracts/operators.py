"""Operators' commands and questions to auth: orgs, plans, apps, keys and the directory."""

from datetime import datetime

from pydantic import Field

from wepeople_contracts.reply import Message


class Plan(Message):
    """What an org has bought; None is no limit."""

    name: str
    max_events_per_month: int | None
    key_requests_per_second: int
    org_requests_per_second: int


class CreateOrg(Message):
    """Founds an org on a plan."""

    name: str = Field(min_length=1, max_length=200)
    plan: str = "standard"


class ChangePlan(Message):
    """Moves an org to another plan; gateways know of it within 60 seconds."""

    org_id: str
    plan: str


class Org(Message):
    """A tenant."""

    org_id: str
    name: str
    plan: Plan
    created_at: datetime


class CreateApp(Message):
    """Creates a developer app inside an org."""

    org_id: str
    slug: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    allowed_event_types: list[str] = Field(default_factory=list)


class App(Message):
    """A developer app: its whitelist and the connection its events are shown under."""

    app_id: str
    org_id: str
    slug: str
    connection: str
    allowed_event_types: list[str]
    created_at: datetime


class AllowEventTypes(Message):
    """Adds event types to an app's whitelist."""

    app_id: str
    event_types: list[str] = Field(min_length=1)


class CreateKey(Message):
    """Issues a key of an app; `requests_per_second` overrides the plan's rate for this key."""

    app_id: str
    name: str = Field(default="", max_length=200)
    requests_per_second: int | None = Field(default=None, ge=1)


class Key(Message):
    """A key as lists show it: never the secret."""

    key_id: str
    app_id: str
    name: str
    requests_per_second: int | None
    created_at: datetime
    revoked_at: datetime | None


class NewKey(Message):
    """A key just issued: the only time that the whole token is seen."""

    key: Key
    token: str


class RevokeKey(Message):
    """Revokes a key for good."""

    key_id: str


class ImportedWorker(Message):
    """One line of a directory import."""

    email: str = Field(min_length=3, max_length=320)
    name: str = Field(default="", max_length=200)


class ImportWorkers(Message):
    """Brings people into an org's directory."""

    org_id: str
    workers: list[ImportedWorker] = Field(min_length=1, max_length=5000)


class Imported(Message):
    """How many people the stored fact holds, and where it is in the stream."""

    count: int
    sequence: int


class ListApps(Message):
    """Asks for an org's apps."""

    org_id: str


class ListKeys(Message):
    """Asks for an app's keys, revoked ones included."""

    app_id: str


class Nothing(Message):
    """A question without parameters."""


class OrgList(Message):
    """Every org."""

    orgs: list[Org]


class AppList(Message):
    """An org's apps."""

    apps: list[App]


class KeyList(Message):
    """An app's keys."""

    keys: list[Key]


COMMANDS: dict[str, tuple[type[Message], type[Message]]] = {
    "create_org": (CreateOrg, Org),
    "list_orgs": (Nothing, OrgList),
    "change_plan": (ChangePlan, Org),
    "create_app": (CreateApp, App),
    "list_apps": (ListApps, AppList),
    "allow_event_types": (AllowEventTypes, App),
    "create_key": (CreateKey, NewKey),
    "list_keys": (ListKeys, KeyList),
    "revoke_key": (RevokeKey, Key),
    "import_workers": (ImportWorkers, Imported),
}
"""What each of auth's subjects `auth_command(name)` takes, and what its reply carries."""
