"""Runs a module of the bench as a process of its own: a struct on its stdin, what it found on its stdout."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from msgspec import Struct

from bench.load import ROOT, LoadFailed


async def ask_child(module: str, spec: Struct, seconds: float) -> bytes:
    """What the process writes until it ends; `LoadFailed` when it fails, or is not done in time."""
    async with running_child(module, spec) as process:
        try:
            out, err = await asyncio.wait_for(process.communicate(), seconds)
        except TimeoutError as error:
            raise LoadFailed(f"{module} did not end within {seconds:.0f} s") from error
    if process.returncode != 0:
        raise LoadFailed(f"{module} failed:\n{err.decode(errors='replace')[-2000:]}")
    return out


@asynccontextmanager
async def running_child(module: str, spec: Struct) -> AsyncIterator[asyncio.subprocess.Process]:
    """The process, killed at the end unless it has ended by then."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(msgspec.json.encode(spec))
    process.stdin.close()
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
