"""Secrets are referred to, never written down; what is referred to is what the two ways of making them make."""

import re
from pathlib import Path

import pytest

from deploy.kubernetes.render import HERE, OVERLAYS, RENDERED
from tests.support.manifests import (
    SECRETS,
    Document,
    documents,
    environment,
    made_secrets,
    named,
    of_kind,
    pod,
    workload,
    workloads,
)
from wepeople_provision.secret_files import generate

FILES = sorted(p for p in HERE.rglob("*") if p.suffix in (".yaml", ".conf") and SECRETS / "generated" not in p.parents)
LOOKS_LIKE_A_SECRET = {
    "an nkey seed": re.compile(r"\bSU[A-Z2-7]{56}\b"),
    "a private key": re.compile(r"BEGIN [A-Z ]*PRIVATE KEY"),
    "a password in an address": re.compile(r"\w://[^\s/:@]+:[^\s/@]+@"),
    "an API key": re.compile(r"wp_live_[0-9a-f]{8}"),
    "a password": re.compile(r"password\s*[:=]\s*['\"]?(?!generated/)\w{8,}", re.IGNORECASE),
}
EXTERNAL = (SECRETS / "external" / "services.yaml", SECRETS / "external" / "servers.yaml")
MADE_BY_THE_PLATFORM = {"wepeople-backup"}
"""Credentials of a bucket that is yours."""


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(HERE)))
def test_no_file_has_anything_that_looks_like_a_secret(path: Path) -> None:
    text = path.read_text()

    assert [what for what, pattern in LOOKS_LIKE_A_SECRET.items() if pattern.search(text)] == []


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_manifest_is_a_secret_and_no_variable_has_a_secrets_value(overlay: str) -> None:
    assert of_kind(overlay, "Secret") == []
    for where, document in workloads():
        if where == overlay:
            names = environment(overlay, document).keys()
            assert not [n for n in names if n.endswith(("_SEED", "_DSN", "_PASSWORD"))], named(document)


def _mounted(document: Document) -> set[str]:
    found = set()
    for volume in pod(document)["volumes"]:
        sources = [volume, *volume.get("projected", {}).get("sources", [])]
        found |= {s["secret"].get("secretName", s["secret"].get("name")) for s in sources if "secret" in s}
    return found


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_secret_that_is_referred_to_is_made_and_every_one_made_is_used(overlay: str) -> None:
    used = {name for where, document in workloads() if where == overlay for name in _mounted(document)}
    used |= {tls["secretName"] for ingress in of_kind(overlay, "Ingress") for tls in ingress["spec"]["tls"]}
    made = set(made_secrets())
    if overlay == "production":
        text = (RENDERED / "production-foundation.yaml").read_text()
        text += (HERE / "overlays" / "production" / "nats-values.yaml").read_text()
        used |= {name for name in re.findall(r"\bwepeople-[a-z-]+\b", text) if name in made | MADE_BY_THE_PLATFORM}
        assert used - MADE_BY_THE_PLATFORM == made
    else:
        # The operator of CloudNativePG wants the CA by itself.
        assert used == made - {"wepeople-postgres-ca"}


def test_secrets_are_made_from_files_that_secrets_generate_writes(tmp_path: Path) -> None:
    generate(tmp_path)
    [made] = documents(SECRETS / "kustomization.yaml")
    files = [f for one in made["secretGenerator"] + made["configMapGenerator"] for f in one.get("files", [])]

    paths = [tmp_path / f.rpartition("=")[2].removeprefix("generated/") for f in files]
    assert [str(path) for path in paths if not path.is_file()] == []
    external = re.findall(r"remoteRef: \{key: ([^\s}]+)\}", "".join(p.read_text() for p in EXTERNAL))
    assert set(external) == {str(p.relative_to(tmp_path)) for p in paths}


def test_a_password_ends_with_its_last_letter_as_some_take_the_whole_file_for_it(tmp_path: Path) -> None:
    generate(tmp_path)

    password = (tmp_path / "postgres" / "superuser_password").read_text()
    assert password == password.strip()
    assert f":{password}@" in (tmp_path / "provision" / "wepeople_admin_dsn").read_text()


def test_external_secrets_make_the_same_secrets_with_the_same_keys_from_the_same_files() -> None:
    external = {}
    for path in EXTERNAL:
        for one in documents(path):
            keys = {item["secretKey"] for item in one["spec"]["data"]}
            keys |= one["spec"].get("target", {}).get("template", {}).get("data", {}).keys()
            external[one["metadata"]["name"]] = keys

    assert external == made_secrets()


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_secret_is_mounted_for_the_group_alone_and_read_only(overlay: str) -> None:
    for where, document in workloads():
        if where != overlay:
            continue
        for volume in pod(document)["volumes"]:
            source = volume.get("secret") or volume.get("projected")
            if source:
                assert source["defaultMode"] == 0o440, named(document)
                [mount] = [m for m in pod(document)["containers"][0]["volumeMounts"] if m["name"] == volume["name"]]
                assert mount["readOnly"] is True


def test_each_process_has_only_its_own_secret() -> None:
    for name in ("gateway", "auth", "quota", "projector", "provision", "operator"):
        assert _mounted(workload("production", name)) == {f"wepeople-{name}"}


def test_generated_secrets_are_never_committed() -> None:
    assert (SECRETS / ".gitignore").read_text().split() == ["generated/"]
