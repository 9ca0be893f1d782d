"""The rendered manifests of deploy/kubernetes, as tests want them."""

from collections.abc import Hashable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from deploy.kubernetes.render import HERE, OVERLAYS, RENDERED, STEPS
from wepeople_archiver.settings import ArchiverSettings
from wepeople_auth.settings import AuthSettings
from wepeople_chassis.settings import ServiceSettings
from wepeople_gateway.settings import GatewaySettings
from wepeople_projector.settings import ProjectorSettings
from wepeople_provision.settings import ProvisionSettings
from wepeople_quota.settings import QuotaSettings

SERVICES = ("gateway", "auth", "quota", "projector")
OURS = (*SERVICES, "provision", "operator", "copier", "archiver")
SECRETS = HERE / "secrets"

SETTINGS: dict[str, type[ServiceSettings]] = {
    "gateway": GatewaySettings,
    "auth": AuthSettings,
    "quota": QuotaSettings,
    "projector": ProjectorSettings,
    "provision": ProvisionSettings,
    "copier": ServiceSettings,
    "archiver": ArchiverSettings,
}
"""By the name of the process."""

_COMPOSE_FILES = ("compose.yaml", "compose.archive.yaml")

_WORKLOADS = ("Deployment", "StatefulSet", "Job", "CronJob")

Document = dict[str, Any]


class _NothingTwice(yaml.SafeLoader):
    """YAML lets a key stand twice and keeps the last; Kubernetes does not."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        if len(keys) != len(set(keys)):
            raise ValueError(f"a key stands twice: {sorted(map(str, keys))}")
        return super().construct_mapping(node, deep)


@lru_cache
def documents(path: Path) -> tuple[Document, ...]:
    """All documents of one file."""
    return tuple(d for d in yaml.load_all(path.read_text(), _NothingTwice) if d)


def step(overlay: str, name: str) -> tuple[Document, ...]:
    """What one step of an overlay sends."""
    return documents(RENDERED / f"{overlay}-{name}.yaml")


def overlay_documents(overlay: str) -> list[Document]:
    """What all steps of an overlay send; what two of them send is there once."""
    found = {named(d): d for name in STEPS for d in step(overlay, name)}
    return list(found.values())


def of_kind(overlay: str, *kinds: str) -> list[Document]:
    return [d for d in overlay_documents(overlay) if d["kind"] in kinds]


def named(document: Document) -> str:
    """`Kind/name`."""
    return f"{document['kind']}/{document['metadata']['name']}"


def workloads() -> Iterator[tuple[str, Document]]:
    """Overlay and document of everything that makes pods."""
    for overlay in OVERLAYS:
        for document in of_kind(overlay, *_WORKLOADS):
            yield overlay, document


def workload(overlay: str, name: str) -> Document:
    [found] = [d for d in of_kind(overlay, *_WORKLOADS) if d["metadata"]["name"] == name]
    return found


def pod(document: Document) -> dict[str, Any]:
    spec: dict[str, Any] = _template(document)["spec"]
    return spec


def _template(document: Document) -> dict[str, Any]:
    spec = document["spec"]
    found: dict[str, Any] = (spec["jobTemplate"]["spec"] if document["kind"] == "CronJob" else spec)["template"]
    return found


def container(document: Document) -> dict[str, Any]:
    [only] = pod(document)["containers"]
    found: dict[str, Any] = only
    return found


def part(document: Document) -> str:
    """Whose pods these are, for the NetworkPolicies."""
    label: str = _template(document)["metadata"]["labels"]["wepeople.io/part"]
    return label


def environment(overlay: str, document: Document) -> dict[str, str]:
    """All variables of a workload's only container, those of its ConfigMaps too."""
    maps = {d["metadata"]["name"]: d["data"] for d in of_kind(overlay, "ConfigMap")}
    found: dict[str, str] = {}
    for source in container(document).get("envFrom", []):
        found |= maps[source["configMapRef"]["name"]]
    return found | {variable["name"]: variable["value"] for variable in container(document).get("env", [])}


def made_secrets() -> dict[str, set[str]]:
    """The Secrets that deploy/kubernetes/secrets makes, with their keys."""
    [made] = documents(SECRETS / "kustomization.yaml")
    return {
        one["name"]: {_key(f) for f in one.get("files", [])} | {item.split("=")[0] for item in one.get("literals", [])}
        for one in made["secretGenerator"]
    }


def _key(file: str) -> str:
    return file.split("=", maxsplit=1)[0] if "=" in file else Path(file).name


def compose_services() -> dict[str, Document]:
    """The services of compose with all that may be put on top of them: settings, networks and secrets are added."""
    found: dict[str, Document] = {}
    for name in _COMPOSE_FILES:
        for service, more in yaml.safe_load((HERE.parent / "compose" / name).read_text())["services"].items():
            there = found.setdefault(service, {})
            for key, value in more.items():
                if key == "environment":
                    there[key] = there.get(key, {}) | value
                elif key in ("networks", "secrets"):
                    there[key] = [*there.get(key, []), *value]
                else:
                    there[key] = value
    return found
