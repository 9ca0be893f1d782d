"""Whether what was proved of a version is still so: its tables are hashed again, and compared with the proof."""

from wepeople_projections.postgres.digest import digests
from wepeople_projections.postgres.months import hold_months
from wepeople_projections.replay.building import Workplace
from wepeople_projections.versions.control import checkpoints, execute
from wepeople_projections.versions.proving import one_moment


async def changed_since_proof(place: Workplace, schema: str) -> str | None:
    """The first table that has other rows than when it was proved, None if there is none.

    That can be told only of the orgs' partitions to which nothing was applied since; the others' rows rightly change.
    """
    async with one_moment(place) as connection:
        await hold_months(connection, schema)
        reached = await checkpoints(connection, schema)
        proved = await execute(connection, "proved", schema)
        tables = sorted({line["table_name"] for line in proved})
        found = (await digests(connection, schema, tables)).of_partitions()
    for line in proved:
        partition: int = line["partition"]
        table: str = line["table_name"]
        now = found[partition, table]
        stands = partition not in reached or reached[partition].message_sequence <= line["sequence"]
        if stands and (now.rows, now.text) != (line["rows"], line["digest"]):
            return table
    return None
