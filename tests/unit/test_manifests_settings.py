"""Compose, Kubernetes, the images and the settings classes name the same variables, files of secrets and ports."""

import re
from pathlib import Path
from typing import Any

import pytest

from deploy.kubernetes.render import HERE, OVERLAYS
from tests.support.manifests import (
    OURS,
    SECRETS,
    SERVICES,
    SETTINGS,
    compose_services,
    container,
    documents,
    environment,
    made_secrets,
    of_kind,
    pod,
    workload,
)
from wepeople_chassis.operator import Operator
from wepeople_chassis.settings import ServiceSettings
from wepeople_contracts.subjects import STREAM_SUBJECTS

DEPLOY = HERE.parent
COMPOSE: dict[str, Any] = {"services": compose_services()}
DOCKERFILE = (DEPLOY / "images" / "Dockerfile").read_text()

TLS_ENDS_IN_THE_GATEWAY = {"WEPEOPLE_HTTP_CERTIFICATE_FILE", "WEPEOPLE_HTTP_KEY_FILE"}
TLS_ENDS_BEFORE_THE_GATEWAY = {"WEPEOPLE_HTTP_BEHIND_INGRESS"}
"""The one thing that compose and Kubernetes do in two ways."""

OF_THE_COMMAND_LINE = {"WEPEOPLE_STATE_DIR"}

every_overlay = pytest.mark.parametrize("overlay", OVERLAYS)
every_part = pytest.mark.parametrize("part", SETTINGS)


def variables(cls: type[ServiceSettings]) -> dict[str, bool]:
    """A settings class's variables, and whether each is required."""
    return {f"WEPEOPLE_{name.upper()}": field.is_required() for name, field in cls.model_fields.items()}


def in_compose(part: str) -> dict[str, str]:
    found: dict[str, str] = COMPOSE["services"][part]["environment"]
    return found


def by_the_image(part: str) -> dict[str, str]:
    """What the Dockerfile sets for a part: in the stage that all have, and in its own."""
    found: dict[str, str] = {}
    for stage in re.split(r"(?m)^FROM ", DOCKERFILE):
        name = re.search(r"(?i)\bAS (\S+)", stage.partition("\n")[0])
        if name and name[1] not in {*OURS} - {part}:
            found |= dict(re.findall(r"\b(WEPEOPLE_\w+)=(\S+)", stage))
    return found


def secret_files_in_compose(part: str) -> set[str]:
    return {secret["target"] for secret in COMPOSE["services"][part]["secrets"]}


def known(names: set[str] | dict[str, str]) -> set[str]:
    return {name for name in names if name.startswith("WEPEOPLE_")}


@every_overlay
@every_part
def test_every_variable_that_a_manifest_sets_is_a_setting_of_that_process(overlay: str, part: str) -> None:
    assert known(environment(overlay, workload(overlay, part))) <= variables(SETTINGS[part]).keys()


@every_part
def test_every_variable_that_compose_or_the_image_sets_is_a_setting_of_that_process(part: str) -> None:
    assert known(in_compose(part)) | known(by_the_image(part)) <= variables(SETTINGS[part]).keys()


def test_the_command_line_is_told_what_it_knows() -> None:
    its_own = {f"WEPEOPLE_{name.upper()}" for name in Operator.model_fields} | OF_THE_COMMAND_LINE

    assert known(in_compose("operator")) <= its_own
    for overlay in OVERLAYS:
        common = variables(ServiceSettings).keys()
        assert known(environment(overlay, workload(overlay, "operator"))) <= its_own | common


@every_overlay
@every_part
def test_every_setting_without_a_default_is_given_by_a_variable_or_a_file(overlay: str, part: str) -> None:
    required = {name for name, is_required in variables(SETTINGS[part]).items() if is_required}

    assert required <= environment(overlay, workload(overlay, part)).keys() | _files_as_variables(
        made_secrets()[f"wepeople-{part}"]
    )
    assert required <= in_compose(part).keys() | _files_as_variables(secret_files_in_compose(part))


@every_part
def test_every_file_of_a_secret_is_a_setting_or_is_named_by_one(part: str) -> None:
    given = environment("production", workload("production", part))
    named = {Path(value).name for value in given.values() if value.startswith("/run/secrets/")}

    assert all(f.upper() in variables(SETTINGS[part]) or f in named for f in made_secrets()[f"wepeople-{part}"])


@every_part
def test_compose_and_kubernetes_set_the_same_variables(part: str) -> None:
    kubernetes = known(environment("production", workload("production", part)))
    compose = known(in_compose(part)) | known(by_the_image(part))
    if part == "gateway":
        assert kubernetes & TLS_ENDS_BEFORE_THE_GATEWAY
        assert compose >= TLS_ENDS_IN_THE_GATEWAY
        kubernetes -= TLS_ENDS_BEFORE_THE_GATEWAY
        compose -= TLS_ENDS_IN_THE_GATEWAY
    if part in ("provision", "copier"):
        # They do not listen; the image says where, for those that do.
        compose -= {"WEPEOPLE_OPS_HOST", "WEPEOPLE_OPS_PORT"}
    if part == "projector":
        # Empty unless somebody sets it beside compose; in a cluster whoever wants it patches it in.
        compose -= {"WEPEOPLE_KEEP_EVENTS_DAYS"}

    assert compose == kubernetes


@every_part
def test_compose_and_kubernetes_hand_over_the_same_files_of_secrets(part: str) -> None:
    compose = secret_files_in_compose(part)

    assert compose - {"tls.crt", "tls.key"} == made_secrets()[f"wepeople-{part}"]


@pytest.mark.parametrize("part", SERVICES)
def test_traces_go_where_compose_and_kubernetes_have_the_same_variable_for(part: str) -> None:
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in environment("production", workload("production", part))
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in in_compose(part)


@every_overlay
@every_part
def test_what_is_set_alike_has_the_same_value(overlay: str, part: str) -> None:
    kubernetes = environment(overlay, workload(overlay, part))
    compose = by_the_image(part) | {name: _default(value) for name, value in in_compose(part).items()}
    differ = {
        "WEPEOPLE_ARCHIVE_URL",
        "WEPEOPLE_GATEWAYS",
        "WEPEOPLE_STREAM_REPLICAS",
        "WEPEOPLE_STREAM_MAX_BYTES",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
    }

    alike = (kubernetes.keys() & compose.keys()) - differ
    assert {name: compose[name] for name in alike} == {name: kubernetes[name] for name in alike}


@every_overlay
def test_the_gateway_listens_where_its_settings_say(overlay: str) -> None:
    gateway = workload(overlay, "gateway")
    ports = {port["name"]: str(port["containerPort"]) for port in container(gateway)["ports"]}
    given = environment(overlay, gateway)
    [service] = [d for d in of_kind(overlay, "Service") if d["metadata"]["name"] == "gateway"]

    assert ports == {"http": given["WEPEOPLE_HTTP_PORT"], "ops": given["WEPEOPLE_OPS_PORT"]}
    assert [port["targetPort"] for port in service["spec"]["ports"]] == ["http"]
    assert COMPOSE["services"]["gateway"]["ports"][0].endswith(f":{ports['http']}")


@every_overlay
@pytest.mark.parametrize("part", OURS)
def test_files_are_where_the_settings_look_for_them(overlay: str, part: str) -> None:
    document = workload(overlay, part)
    given = environment(overlay, document)
    mounts = {mount["name"]: mount["mountPath"] for mount in container(document)["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod(document)["volumes"]}

    assert mounts["secrets"] == given["WEPEOPLE_SECRETS_DIR"]
    assert given["WEPEOPLE_NATS_CA_FILE"] == f"{mounts['ca']}/ca.crt"
    assert volumes["ca"]["configMap"]["name"] == "wepeople-ca"


def test_nats_is_set_up_alike_everywhere() -> None:
    compose = _nats_settings((DEPLOY / "compose" / "nats" / "nats-server.conf").read_text())
    dev = _nats_settings((HERE / "overlays" / "dev" / "foundation" / "nats.conf").read_text())
    [values] = documents(HERE / "overlays" / "production" / "nats-values.yaml")
    config = values["config"]
    chart = {
        "max_payload": _bytes(config["merge"]["max_payload"]),
        "max_pending": _bytes(config["merge"]["max_pending"]),
        "sync_interval": config["jetstream"]["merge"]["sync_interval"],
        "handshake_first": str(config["nats"]["tls"]["merge"]["handshake_first"]).lower(),
    }

    assert compose == dev == chart


def test_the_stream_has_as_many_copies_as_there_are_servers_and_room_on_their_disks() -> None:
    [values] = documents(HERE / "overlays" / "production" / "nats-values.yaml")
    given = environment("production", workload("production", "provision"))
    disk = int(values["config"]["jetstream"]["fileStore"]["pvc"]["size"].removesuffix("Gi")) * 2**30

    assert given["WEPEOPLE_STREAM_REPLICAS"] == str(values["config"]["cluster"]["replicas"])
    assert int(given["WEPEOPLE_STREAM_MAX_BYTES"]) <= 0.9 * disk


def test_subjects_are_spelled_in_one_place_and_in_no_manifest() -> None:
    beginning = STREAM_SUBJECTS.partition(".")[0]
    subject = re.compile(rf"\b({beginning}\.(\*|[0-9])|rpc\.\w|fact\.\w|\$JS\.|\$KV\.)")
    made = {SECRETS / "generated", DEPLOY / "compose" / "secrets"}
    written = [p for folder in (HERE, DEPLOY / "compose") for p in folder.rglob("*") if not made & {*p.parents}]
    files = [p for p in written if p.suffix in (".yaml", ".conf")]

    assert [str(path) for path in files if subject.search(path.read_text())] == []


def _files_as_variables(files: set[str]) -> set[str]:
    return {name.upper() for name in files}


def _default(value: str) -> str:
    """What compose puts in for `${NAME:-default}` when nobody says otherwise."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(value))


def _nats_settings(text: str) -> dict[str, Any]:
    found: dict[str, Any] = dict(re.findall(r"(?m)^\s*(\w+):?\s+([^\s{]+)\s*$", text))
    return {
        "max_payload": _bytes(found["max_payload"]),
        "max_pending": _bytes(found["max_pending"]),
        "sync_interval": found["sync_interval"],
        "handshake_first": found["handshake_first"],
    }


def _bytes(text: str) -> int:
    number = text.strip("<> ")
    return int(number.removesuffix("MB")) * 2**20 if number.endswith("MB") else int(number)
