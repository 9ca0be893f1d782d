"""Every table and view of a database, as its catalog has them, and rows of two orgs in all of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection, sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from wepeople_contracts.subjects import partition_of

NOT_OF_ORGS = frozenset(
    {"auth.plans", "quota.partitions", "provision.applied_files", "provision.owed_files"}
    | {"live.about", "live.checkpoint", "live.kept"}
    | {f"{s}.{table}" for s in ("live_v1", "things_v1") for table in ("about", "checkpoint", "kept", "verified")}
)
"""Tables with nothing of an org in them. One that is not named here must have policies."""

_RELATIONS = """
SELECT n.nspname AS schema, c.relname AS name, c.relkind::text AS kind, c.relforcerowsecurity AS forced,
       coalesce('security_invoker=true' = ANY (c.reloptions), false) AS invoker,
       (SELECT count(*) FROM pg_policy p WHERE p.polrelid = c.oid) AS policies,
       ARRAY(SELECT a.attname::text FROM pg_attribute a
             WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
               AND a.attidentity = '' ORDER BY a.attnum) AS columns,
       ARRAY(SELECT format_type(a.atttypid, NULL) FROM pg_attribute a
             WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
               AND a.attidentity = '' ORDER BY a.attnum) AS types,
       ARRAY(SELECT DISTINCT coalesce(r.rolname, 'PUBLIC') || ' ' || x.privilege_type
             FROM aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) x
             LEFT JOIN pg_roles r ON r.oid = x.grantee) AS privileges,
       ARRAY(SELECT i.inhrelid::regclass::text FROM pg_inherits i WHERE i.inhparent = c.oid) AS partitions,
       pg_get_userbyid(c.relowner) AS owner
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
  AND n.nspname !~ '^pg_(toast|temp)'
ORDER BY 1, 2
"""
_CHECKED: dict[str, Any] = {"kind": "email", "status": "parked", "salt": b"s" * 32, "digests": b"d" * 12}
"""Values that a CHECK asks for."""
_OF_KIND: dict[str, Callable[[str], Any]] = {
    "text[]": lambda org_id: [org_id],
    "boolean": lambda _: True,
    "json": lambda org_id: Jsonb({"of": org_id}),
    "jsonb": lambda org_id: Jsonb({"of": org_id}),
    "bytea": lambda org_id: org_id.encode(),
    "date": lambda _: "2099-01-01",
    "timestamp with time zone": lambda _: "2099-01-01",
}


@dataclass(frozen=True, slots=True)
class Relation:
    """A table, view or whatever else can be selected from."""

    schema: str
    name: str
    kind: str
    forced: bool
    invoker: bool
    policies: int
    columns: Sequence[str]
    types: Sequence[str]
    privileges: Sequence[str]
    partitions: Sequence[str]
    owner: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def target(self) -> sql.Identifier:
        """Its name in a statement."""
        return sql.Identifier(self.schema, self.name)

    @property
    def is_door(self) -> bool:
        """Through which its owner may copy into one table, and nobody else anything."""
        return self.kind == "p" and self.name.startswith("Door of ")

    @property
    def is_table(self) -> bool:
        """Whether it has rows, or pieces of it have."""
        return self.kind in ("r", "p") and not self.is_door

    @property
    def is_of_orgs(self) -> bool:
        """Whether rows of orgs are to be seen in it, for those who may."""
        return str(self) not in NOT_OF_ORGS and not self.is_door


async def relations(admin: AsyncConnection[Any]) -> list[Relation]:
    """All of them."""
    cursor = admin.cursor(row_factory=dict_row)
    return [Relation(**row) for row in await (await cursor.execute(_RELATIONS)).fetchall()]


def faults(found: Sequence[Relation]) -> list[str]:
    """What shows rows of orgs without asking who looks."""
    return [f"{relation}: {fault}" for relation in found if (fault := _fault(relation, found))]


def _fault(relation: Relation, found: Sequence[Relation]) -> str | None:
    if str(relation) in NOT_OF_ORGS:
        return None
    if relation.is_door:
        return _fault_of_door(relation, found)
    if relation.kind == "v":
        return None if relation.invoker else "a view with the rights of its owner"
    if not relation.is_table:
        return "neither a table nor a view: row security does not hold for it"
    if not relation.forced:
        return "row security is not forced"
    return None if relation.policies else "no policy"


def _fault_of_door(door: Relation, found: Sequence[Relation]) -> str | None:
    if sorted(door.privileges) != [f"{door.owner} INSERT"]:
        return f"a door with {', '.join(sorted(door.privileges))}"
    forced = [str(other) for other in found if other.is_table and other.forced]
    is_of_one = len(door.partitions) == 1 and door.partitions[0] in forced
    return None if is_of_one else "a door to something else than one table with forced row security"


async def fill(admin: AsyncConnection[Any], found: Sequence[Relation], org_ids: Sequence[str]) -> None:
    """A row of each org in every table of orgs, whatever it refers to."""
    await admin.execute("SET session_replication_role = replica")
    for relation in found:
        if relation.kind == "r" and relation.is_of_orgs:
            for number, org_id in enumerate(org_ids):
                values = [
                    _value(*column, org_id, number) for column in zip(relation.columns, relation.types, strict=True)
                ]
                statement = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
                    relation.target,
                    sql.SQL(", ").join(map(sql.Identifier, relation.columns)),
                    sql.SQL(", ").join([sql.Placeholder()] * len(values)),
                )
                await admin.execute(statement, values)
    await admin.execute("RESET session_replication_role")


def _value(name: str, kind: str, org_id: str, number: int) -> Any:
    if name in _CHECKED:
        return _CHECKED[name]
    if name == "subject":
        return f"ingest.{partition_of(org_id)}.{org_id}.app.events"
    if name == "org_id":
        return org_id
    if kind in ("smallint", "integer", "bigint", "numeric", "double precision"):
        return number + 1
    convert = _OF_KIND.get(kind)
    return convert(org_id) if convert else f"{name} of {org_id}"
