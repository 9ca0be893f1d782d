"""Schemathesis against the running gateway: whatever the document allows and forbids, the gateway does as it says."""

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

from tests.support.operators import Caller
from tests.support.system import RunningSystem
from wepeople_gateway.specification.openapi import openapi_document

SUPPORT = Path(__file__).parents[1] / "support"

pytestmark = pytest.mark.usefixtures("unharmed")


async def test_the_gateway_keeps_to_its_document(system: RunningSystem, caller: Caller, tmp_path: Path) -> None:
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        f"--config-file={SUPPORT / 'schemathesis.toml'}",
        "run",
        f"{system.gateway_url}/openapi.json",
        f"--header=Authorization: Bearer {caller.token}",
        "--no-color",
    ]
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=tmp_path,
        env=os.environ | {"SCHEMATHESIS_HOOKS": str(SUPPORT / "schemathesis_hooks.py")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(100):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    text = output.decode()
    assert process.returncode == 0, text
    # All but the one that Schemathesis itself has read the document from.
    every = sum(len(operations) for operations in openapi_document()["paths"].values())
    assert re.search(rf"Operations:\s+{every - 1} selected / {every - 1} total", text), text
    assert re.search(r"Stateful \(in", text), text
