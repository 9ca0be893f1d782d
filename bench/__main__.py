"""`python -m bench`: measures, prints, writes RESULTS.md, and fails when a floor is missed."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from bench import __doc__ as about
from bench.backlog import NotStored
from bench.figures import Finding, Tell, missed
from bench.gateway import measure_gateway
from bench.ground import STATE_ROOT
from bench.load import LoadFailed
from bench.machine import Machine, look_at_machine
from bench.path import measure_path
from bench.plan import QUICK, WHOLE, Plan
from bench.profile import measure_profiles
from bench.projector import measure_projector
from bench.replay import measure_replay
from bench.report import markdown, print_report
from bench.rpc import measure_rpc
from bench.scale import measure_scale
from wepeople_chassis.logging import configure_logging
from wepeople_embedded.errors import EmbeddedError

PAGE_WIDTH = 150
LIMIT_SECONDS = 25 * 60.0
BUSY_PERCENT = 20.0
RESULTS = Path(__file__).with_name("RESULTS.md")


class Subject(StrEnum):
    """What can be measured alone."""

    GATEWAY = "gateway"
    PATH = "path"
    PROJECTOR = "projector"
    REPLAY = "replay"
    RPC = "rpc"
    SCALE = "scale"


Measure = Callable[[Plan, Tell], Awaitable[list[Finding]]]
MEASURES: dict[Subject, Measure] = {
    Subject.GATEWAY: measure_gateway,
    Subject.PATH: measure_path,
    Subject.PROJECTOR: measure_projector,
    Subject.REPLAY: measure_replay,
    Subject.RPC: measure_rpc,
    Subject.SCALE: measure_scale,
}


def main(
    quick: Annotated[bool, typer.Option("--quick", help="About a minute, rougher; writes no RESULTS.md.")] = False,
    only: Annotated[list[Subject] | None, typer.Option(help="Measure this subject alone; may be given again.")] = None,
    profile: Annotated[
        bool, typer.Option("--profile", help="Also where the processor time goes; the whole bench always does.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    floors: Annotated[bool, typer.Option(help="Exit 1 when a floor is missed.")] = True,
) -> None:
    """Measure what the system costs, as ratios to a bare limit taken in the same run."""
    configure_logging("bench", "ERROR")
    errors = Console(stderr=True)
    subjects = only or list(Subject)
    is_whole = not quick and only is None
    started_at = time.monotonic()
    machine = look_at_machine(STATE_ROOT)
    if machine.busy_percent > BUSY_PERCENT:
        warning = (
            f"Other programs take {machine.busy_percent:.0f} % of this machine: lags and rates will suffer from it."
        )
        errors.print(warning, style="yellow", highlight=False, soft_wrap=True)
    findings: list[Finding] = []
    problem = _measure_into(findings, subjects, QUICK if quick else WHOLE, errors, profile or is_whole)
    not_met = missed(findings)
    if as_json:
        found = {"machine": machine, "findings": findings, "missed": not_met}
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(found)) + b"\n")
    else:
        _print(machine, findings)
    for line in not_met:
        errors.print(f"Floor missed: {line}", style="bold red", highlight=False, soft_wrap=True)
    if problem:
        errors.print(f"The bench could not go on: {problem}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(2)
    if is_whole:
        RESULTS.write_text(markdown(machine, findings, not_met, time.monotonic() - started_at))
        errors.print(f"Written: {RESULTS}", highlight=False, soft_wrap=True)
    if not_met and floors:
        raise typer.Exit(1)


def _print(machine: Machine, findings: list[Finding]) -> None:
    console = Console()
    if not console.is_terminal:
        console.width = PAGE_WIDTH
    for name, value in machine.lines():
        console.print(f"{name}: {value}", highlight=False, soft_wrap=True)
    print_report(console, findings)


def _measure_into(
    findings: list[Finding], subjects: list[Subject], plan: Plan, errors: Console, with_profile: bool
) -> str | None:
    """Measure one subject after the other; what kept it from going on, or None. What was found by then is kept."""
    measures = [MEASURES[subject] for subject in subjects] + [measure_profiles] * with_profile
    try:
        asyncio.run(_measure(findings, measures, plan, errors))
    except TimeoutError:
        return "it was not done in time. Is the machine busy with something else?"
    except (LoadFailed, NotStored, EmbeddedError) as error:
        return str(error)
    return None


async def _measure(findings: list[Finding], measures: list[Measure], plan: Plan, errors: Console) -> None:
    # A spinner on a terminal, a line for each step elsewhere.
    status = errors.status("starting") if errors.is_terminal else nullcontext()
    with status as shown:

        def tell(words: str) -> None:
            if shown is None:
                errors.print(words, highlight=False, soft_wrap=True)
            else:
                shown.update(words)

        async with asyncio.timeout(LIMIT_SECONDS):
            for measure in measures:
                tell("starting a system")
                findings += await measure(plan, tell)


if __name__ == "__main__":
    application = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    application.command(epilog=about)(main)
    application()
