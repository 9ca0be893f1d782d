"""Runs the whole system until it is told to stop or a part of it dies."""

import asyncio
import signal
from pathlib import Path

from rich.console import Console

from wepeople_embedded.child import ChildFailed
from wepeople_embedded.demo import Demo, make_demo, ping
from wepeople_embedded.ports import require_free
from wepeople_embedded.screen import print_screen
from wepeople_embedded.state import DEMO_READER, StateDir, open_state_dir
from wepeople_embedded.system import System

_WATCH_SECONDS = 0.1


async def run(state_path: Path, *, port: int, with_demo: bool, console: Console, streams: int | None = None) -> None:
    """Start, print the screen, watch, stop in order. Returns after SIGINT, SIGTERM or SIGHUP; a second SIGINT kills.

    `EmbeddedError`, `ChildFailed` or what provisioning and the demo raise, after everything was stopped.
    """
    with open_state_dir(state_path) as state:
        require_free(port)
        system = System(state, gateway_port=port, streams=streams)
        running = asyncio.create_task(_serve(state, system, with_demo=with_demo, console=console))
        _handle_signals(running, system)
        try:
            await running
        except asyncio.CancelledError:
            console.print("Stopping …")
        finally:
            await system.stop()


def _handle_signals(running: asyncio.Task[None], system: System) -> None:
    loop = asyncio.get_running_loop()

    def interrupted() -> None:
        if running.cancelling() or running.done():
            system.kill()
        else:
            running.cancel()

    loop.add_signal_handler(signal.SIGINT, interrupted)
    loop.add_signal_handler(signal.SIGTERM, running.cancel)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup
        loop.add_signal_handler(signal.SIGHUP, running.cancel)


async def _serve(state: StateDir, system: System, *, with_demo: bool, console: Console) -> None:
    await system.start()
    demo = await _demo(state, system) if with_demo else None
    print_screen(console, state, system, demo)
    while (ended := system.ended()) is None:  # noqa: ASYNC110 - a Popen announces nothing
        await asyncio.sleep(_WATCH_SECONDS)
    raise ChildFailed(ended, f"ended with code {ended.exit_code}; everything else is stopped now")


async def _demo(state: StateDir, system: System) -> Demo:
    demo = await make_demo(
        state,
        gateway_url=system.gateway_url,
        nats=system.nats_address("operator"),
        admin_dsn=system.admin_dsn,
        projector_dsn=system.projector_dsn,
        reader_password=system.passwords[DEMO_READER],
    )
    await ping(demo, state)
    return demo
