"""Findings for people: tables on the terminal, and the text of RESULTS.md. Pure but for printing."""

from collections.abc import Callable, Iterator, Sequence

from rich.console import Console
from rich.table import Table

from bench.figures import Bound, Comparison, Figure, Finding, Profile
from bench.machine import Machine
from bench.statistic import Spread

Row = tuple[str, ...]

RATIO_HEAD = ("Part", "What", "Unit", "Ours", "Bare limit", "Ratio", "Lowest to highest", "Floor", "")
FIGURE_HEAD = ("Part", "What", "Unit", "Value", "Lowest to highest", "Floor", "")


def number(value: float) -> str:
    """Three digits that mean something."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _range(value: Spread, show: Callable[[float], str] = number) -> str:
    return "" if value.low == value.high else f"{show(value.low)} to {show(value.high)}"


def _ratio(value: float) -> str:
    return f"{value:.2f}"


def _floor(bound: Bound | None, value: float) -> tuple[str, str]:
    return (bound.words(), bound.verdict(value) or "") if bound else ("", "")


def ratio_rows(findings: Sequence[Finding]) -> list[Row]:
    """A line for each comparison."""
    return [
        (
            f.subject,
            f.name,
            f.unit,
            number(f.ours.middle),
            number(f.limit.middle),
            _ratio(f.ratio.middle),
            _range(f.ratio, _ratio),
            *_floor(f.bound, f.ratio.middle),
        )
        for f in findings
        if isinstance(f, Comparison)
    ]


def figure_rows(findings: Sequence[Finding]) -> list[Row]:
    """A line for each figure by itself."""
    return [
        (
            f.subject,
            f.name,
            f.unit,
            number(f.value.middle),
            _range(f.value),
            *_floor(f.bound, f.value.middle),
        )
        for f in findings
        if isinstance(f, Figure)
    ]


def profile_rows(profile: Profile) -> list[Row]:
    """The two lists side by side, shares in percent."""
    lines = max(len(profile.by_work), len(profile.by_function))
    return [(*_share(profile.by_work, n), *_share(profile.by_function, n)) for n in range(lines)]


def _share(shares: Sequence[tuple[str, float]], position: int) -> Row:
    if position >= len(shares):
        return ("", "")
    name, share = shares[position]
    return (f"{share:.0%}", name)


def _sections(findings: Sequence[Finding]) -> Iterator[tuple[str, Row, list[Row]]]:
    yield "Against the bare limit (same run, same machine, in turns)", RATIO_HEAD, ratio_rows(findings)
    yield "By themselves", FIGURE_HEAD, figure_rows(findings)
    for profile in findings:
        if isinstance(profile, Profile):
            head = ("Share", f"Where the {profile.process}'s processor time goes", "Share", "Function")
            yield f"Profile of the {profile.process}, 500 rows a request", head, profile_rows(profile)


def print_report(console: Console, findings: Sequence[Finding]) -> None:
    """Tables, floors in colour."""
    for title, head, rows in _sections(findings):
        if not rows:
            continue
        table = Table(*head, title=title, title_justify="left", title_style="bold")
        for position, row in enumerate(rows):
            if head[0] == "Part" and position and row[0] != rows[position - 1][0]:
                table.add_section()
            style = {"met": "green", "missed": "bold red"}.get(row[-1])
            table.add_row(*row[:-1], f"[{style}]{row[-1]}[/{style}]" if style else row[-1])
        console.print(table)


def markdown(machine: Machine, findings: Sequence[Finding], missed: Sequence[str], took_seconds: float) -> str:
    """RESULTS.md."""
    verdict = "Every floor was met." if not missed else "Missed: " + "; ".join(missed) + "."
    parts = [
        "# What it costs",
        f"Written by `make bench` in {took_seconds / 60:.1f} minutes. {verdict}",
        "## The machine",
        _table(("", ""), machine.lines()),
    ]
    for title, head, rows in _sections(findings):
        if rows:
            parts += [f"## {title}", _table(head, rows)]
    return "\n\n".join([*parts, HOW_TO_READ]) + "\n"


def _table(head: Row, rows: Sequence[Row]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


HOW_TO_READ = """\
## How to read it

Only ratios travel from one machine to another; the absolute numbers beside them are this machine's. Both sides of a
ratio ran in turns (A B A B …) within this run, with the same data, the same generator (a process of its own, raw
sockets, prebuilt requests) and the same durability; a ratio is the median of the rounds' ratios. Every row is the
guide's own event (220 bytes of JSON), alone or with its metadata filled up to 1 KB or 8 KB.

- **gateway**: the bare limit is an aiohttp handler that reads the same body and publishes it as one message, with a
  message id, to a stream of the same settings on the same nats-server (`sync_interval: always`: on disk before it is
  acknowledged). It looks at nothing, and answers with a few bytes where the gateway answers with a result for each
  row. Auth and quota were running, the projector was stopped. 8 connections for requests of 500 rows (4 with 8 KB of
  metadata), 64 for requests of one; each has one request open at a time. Processor time is user and system time of
  the gateway's process, divided by the rows it answered.
- **projector**: a backlog in the stream, read models empty; rows of the timeline per second from the first commit to
  the last, so that the start of the process does not count. The bare limit copies the same final rows, the
  workers' and identifiers' included, into identical tables with the same indexes in as many transactions. *Row by row*
  means Python values that psycopg packs with `set_types`; *ready-made bytes* means that nothing is packed at all: what
  Postgres itself takes. The backlog of strangers makes each event found a worker, which writes several rows for one.
- **replay**: envelopes of 16 orgs, one in each partition, published straight into the stream; read by a process of its
  own, from the moment that every partition was loaded until the last commit. *Bare reading* takes the same messages off
  the same server through one consumer and looks at nothing. A no-op projection decodes what its handler is given and
  moves a checkpoint in Postgres for each batch; workers are looked up only where it says so. The *built-in read models*
  are built into a schema of their own, from the first message to further and further ends. *Beside a replay* is the
  projector at full speed on the backlog, while another process builds the same tables a second time.
- **whole path**: gateway, auth, quota, projector, both servers and the load generator share the machine's cores. The
  clock runs from the first request until the last row can be read in `live.timeline`, and the rows are counted there.
- **lag**: from the moment that the whole 202 had arrived at the client until a look at the database saw its rows (the
  checkpoint, which moves in the transaction of the rows), at half of the whole path's rate, requests starting by the
  clock. A lag is too long by up to the distance of two looks, never too short.
- **calls between services**: request and reply through NATS from one client in Python, whose own cost is in the number;
  the echo shows how much that is.
"""
