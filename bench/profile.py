"""Where the processor time of gateway, quota and projector goes while requests of 500 rows arrive, in words."""

import json
import os
import sys
from pathlib import Path

from bench.figures import Finding, Tell
from bench.ground import Ground, running_ground
from bench.load import run_load
from bench.path import load_spec
from bench.plan import Plan
from bench.where import profile_of
from wepeople_embedded.child import Child
from wepeople_provision.dsn import login_dsn

SAMPLED = Path(__file__).with_name("sampled.py")
SERVICES = ("gateway", "quota", "projector")


async def measure_profiles(plan: Plan, tell: Tell) -> list[Finding]:
    """The whole path at full load, with the services under the sampler."""
    async with running_ground() as ground:
        tell("profile: gateway, quota and projector under the sampler")
        files = {name: ground.state.path / f"{name}.samples.json" for name in SERVICES}
        for name, file in files.items():
            await ground.stop(name)
            ground.system.services[name].child = _sampled(ground, name, file)
            await ground.start(name)
        await run_load(load_spec(ground, plan.profile_seconds))
        findings: list[Finding] = []
        for name, file in files.items():
            await ground.stop(name)
            findings.append(profile_of(name, json.loads(file.read_text())))
        return findings


def _sampled(ground: Ground, name: str, file: Path) -> Child:
    """The service's process under the sampler."""
    nats = ground.system.nats_address(name)
    environment = {"WEPEOPLE_NATS_URL": nats.url, "WEPEOPLE_NATS_SEED": nats.seed or ""}
    environment["WEPEOPLE_HTTP_PORT"] = str(ground.gateway_port)
    if name != "gateway":
        role = f"wepeople_{name}"
        environment["WEPEOPLE_POSTGRES_DSN"] = login_dsn(ground.system.admin_dsn, role, ground.system.passwords[role])
    command = [sys.executable, "-P", str(SAMPLED), f"wepeople_{name}", str(file)]
    return Child(name, command, log_path=ground.state.log(name), environment=os.environ | environment)
