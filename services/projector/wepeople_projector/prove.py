"""`wepeople prove`: the running system against its stream. Every row is made again and compared by hash; events and the
month are counted by another fold besides.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from wepeople_chassis.operator import Operator, fail, show, stdout
from wepeople_chassis.stream import Batch, StreamMoved, StreamState, taking_streams
from wepeople_projections.commands.session import long_command, owner_dsn
from wepeople_projections.commands.targets import Target, TargetError, all_targets, code_of
from wepeople_projections.commands.verify import alone
from wepeople_projections.replay.building import Workplace, workplace
from wepeople_projections.replay.progress import Meter, display
from wepeople_projections.versions.proving import Proof, Snapshot, prove, remember
from wepeople_projector.certificate import Certificate, OrgProof, StreamProof, TableProof, differences
from wepeople_projector.counting import counting
from wepeople_projector.models.timeline import TimelineEvent
from wepeople_projector.tally import OrgTally, Tally

PROJECTION = "live"


def prove_system(as_json: bool) -> None:
    """Print a certificate, or the first difference with exit code 1."""

    async def work(operator: Operator) -> None:
        async with workplace(operator, owner_dsn(operator, PROJECTION), as_json=as_json) as place:
            target = await _serving(place)
            async with alone(place, target):
                proof = await prove(place, code_of(target, None).definition, target.schema)
                await remember(place, target.schema, proof)
            streams = await taking_streams(place.stream)
            certificate = _of_tables(target, proof, streams)
            if certificate.difference is None:
                try:
                    certificate.orgs = await _of_orgs(place, proof.snapshot, streams)
                except StreamMoved as moved:
                    raise TargetError("A stream was split while it was counted. Run this again") from moved
                certificate.difference = next(differences(certificate.orgs), None)
        _tell(certificate, as_json)

    long_command(work, resume="Nothing was changed: a proof begins anew, by the same command.")


async def _serving(place: Workplace) -> Target:
    async with place.pool.connection() as connection:
        found = [target for target in await all_targets(connection, PROJECTION) if target.serving]
    if not found:
        raise TargetError(f"No version of {PROJECTION} serves. Is the projector running?")
    return found[0]


def _of_tables(target: Target, proof: Proof, streams: Sequence[StreamState]) -> Certificate:
    digests = proof.snapshot.digests
    tables = {table: digests.of_table(table) for table in digests.tables}
    return Certificate(
        issued_at=datetime.now(UTC),
        streams=[
            StreamProof(
                name=state.name,
                partitions=sorted(state.partitions),
                identity=state.identity,
                last_sequence=state.last_sequence,
                messages=state.messages,
            )
            for state in streams
        ],
        projection=target.schema,
        positions=dict(proof.snapshot.positions),
        kept_from=dict(proof.snapshot.kept_from),
        tables=[TableProof(table=table, rows=found.rows, digest=found.text) for table, found in tables.items()],
        difference=proof.difference,
    )


async def _of_orgs(place: Workplace, snapshot: Snapshot, streams: Sequence[StreamState]) -> list[OrgProof]:
    """Count the streams, and compare with the timeline as it was, and with quota as it is."""
    timeline = snapshot.digests.tables[TimelineEvent.__table__.name]
    kept_from = snapshot.kept_from.get(TimelineEvent.__table__.name)
    tally, meter = Tally(snapshot.positions, frozenset(snapshot.aside) | snapshot.skipped, kept_from), Meter()
    for stream in streams:
        meter.found(min(stream.partitions), stream.messages)
    with display("count", place.console, as_json=place.as_json) as shown:

        def show_batch(stream: StreamState, batch: Batch) -> None:
            meter.found(min(stream.partitions), batch.pending)
            shown.show(meter.standing())

        async with counting(place.stream, tally, streams, show_batch) as count:
            shown.show(meter.standing(), done=True)
            return [
                OrgProof(
                    org_id=org_id,
                    accepted=org.accepted,
                    repeated=org.repeated,
                    aside=org.aside,
                    dropped=org.dropped,
                    timeline=timeline[org_id].rows if org_id in timeline else 0,
                    month=await count.month(org_id),
                )
                for org_id, org in sorted(_orgs(tally, snapshot).items())
            ]


def _orgs(tally: Tally, snapshot: Snapshot) -> dict[str, OrgTally]:
    """Those that the stream counts, and those that the read models know."""
    return {org_id: OrgTally() for org_id in snapshot.digests.tables["orgs"]} | tally.orgs


def _tell(certificate: Certificate, as_json: bool) -> None:
    if as_json:
        print(certificate.model_dump_json())
    else:
        for stream in certificate.streams:
            through = max(certificate.positions[partition] for partition in stream.partitions)
            stdout.print(
                f"Stream {stream.name} of {stream.identity}, {stream.messages:,} messages up to "
                f"{stream.last_sequence:,}; {certificate.projection} up to {through:,}.",
                highlight=False,
            )
        show(certificate.tables, columns=("table", "rows", "digest"), as_json=False)
        for table, day in certificate.kept_from.items():
            stdout.print(f"Of {table}, what happened before {day} was dropped, and is not compared.", highlight=False)
        orgs = [org.model_dump() | org.month.model_dump() for org in certificate.orgs]
        columns = ("org_id", "accepted", "repeated", "aside", "dropped", "timeline", "period", "charged", "used")
        show(orgs, columns=columns, as_json=False, empty="No orgs yet.")
    if certificate.difference is not None:
        fail(f"NOT proved: {certificate.difference}.", 1)
    if not as_json:
        stdout.print("Proved: the read models and the month are what the stream makes of them.", highlight=False)
