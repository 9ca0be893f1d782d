"""What every container of ours may do, and what is asked of it: the restricted profile, limits, probes, no token."""

from typing import Any

import pytest

from deploy.kubernetes.render import HERE, OVERLAYS
from tests.support.manifests import (
    OURS,
    SERVICES,
    Document,
    container,
    documents,
    environment,
    named,
    of_kind,
    part,
    pod,
    step,
    workload,
    workloads,
)
from wepeople_contracts.subjects import PARTITIONS

ALL = [pytest.param(document, id=f"{overlay}-{named(document)}") for overlay, document in workloads()]
every_workload = pytest.mark.parametrize("document", ALL)
every_overlay = pytest.mark.parametrize("overlay", OVERLAYS)
every_service = pytest.mark.parametrize("service", SERVICES)


def test_what_runs_is_what_the_design_names() -> None:
    assert {part(d) for o, d in workloads() if o == "production"} == {*OURS}
    assert {part(d) for o, d in workloads() if o == "dev"} == {*OURS, "nats", "postgres"}


@every_workload
def test_a_container_has_the_restricted_profile(document: Document) -> None:
    assert (
        pod(document)["securityContext"].items()
        >= {
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        }.items()
    )
    assert pod(document)["securityContext"]["runAsUser"] > 0
    assert container(document)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & pod(document).keys()
    assert all("hostPort" not in port for port in container(document).get("ports", []))


@every_workload
def test_a_container_says_what_it_needs_and_at_most_takes(document: Document) -> None:
    resources = container(document)["resources"]

    assert resources["requests"].keys() == resources["limits"].keys() == {"cpu", "memory"}


@every_workload
def test_a_pod_has_an_account_of_its_own_and_no_token(document: Document) -> None:
    assert pod(document)["serviceAccountName"] == part(document)
    assert pod(document)["automountServiceAccountToken"] is False
    assert pod(document)["enableServiceLinks"] is False


@every_overlay
def test_no_account_hands_its_token_out(overlay: str) -> None:
    accounts = of_kind(overlay, "ServiceAccount")

    assert accounts
    assert all(account["automountServiceAccountToken"] is False for account in accounts)


@every_overlay
@every_service
def test_a_service_is_asked_on_its_port_for_operations_alone(overlay: str, service: str) -> None:
    asked = container(workload(overlay, service))

    assert {"name": "ops", "containerPort": 9090} in asked["ports"]
    assert asked["startupProbe"]["httpGet"] == {"path": "/healthz", "port": "ops"}
    assert asked["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "ops"}
    assert asked["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "ops"}


@pytest.mark.parametrize("server", ["nats", "postgres"])
def test_a_server_in_dev_has_all_probes_and_a_volume(server: str) -> None:
    document = workload("dev", server)

    assert {"startupProbe", "livenessProbe", "readinessProbe"} <= container(document).keys()
    assert [c["metadata"]["name"] for c in document["spec"]["volumeClaimTemplates"]] == ["data"]


@every_workload
def test_an_image_has_a_version(document: Document) -> None:
    _, separator, version = container(document)["image"].rpartition(":")

    assert separator
    assert version not in ("", "latest")


@every_overlay
def test_all_images_of_ours_have_one_version(overlay: str) -> None:
    images = [container(workload(overlay, service))["image"] for service in (*SERVICES, "provision", "operator")]

    assert len({image.rpartition(":")[2] for image in images}) == 1
    assert {image.rpartition(":")[0] for image in images} == {f"wepeople/{n}" for n in (*SERVICES, "provision")}


@every_service
def test_in_production_a_service_survives_a_node_and_a_rollout(service: str) -> None:
    document = workload("production", service)
    [budget] = [d for d in of_kind("production", "PodDisruptionBudget") if d["metadata"]["name"] == service]

    assert budget["spec"]["maxUnavailable"] == 1
    assert budget["spec"]["selector"] == document["spec"]["selector"]
    assert document["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert _least(service) >= 2
    spread = pod(document)["topologySpreadConstraints"]
    assert {constraint["topologyKey"] for constraint in spread} == {
        "kubernetes.io/hostname",
        "topology.kubernetes.io/zone",
    }
    # Otherwise a drained node is the emptiest, and nothing may be put anywhere else.
    assert {constraint.get("nodeTaintsPolicy") for constraint in spread} == {"Honor"}


@every_service
def test_what_is_scaled_has_no_count_that_a_rollout_would_set_back(service: str) -> None:
    scaled = {d["metadata"]["name"] for d in of_kind("production", "HorizontalPodAutoscaler")}

    assert ("replicas" in workload("production", service)["spec"]) == (service not in scaled)


def test_the_gateway_answers_until_nobody_sends_it_requests_any_more() -> None:
    spec = pod(workload("production", "gateway"))

    assert container(workload("production", "gateway"))["lifecycle"]["preStop"]["sleep"]["seconds"] >= 5
    assert spec["terminationGracePeriodSeconds"] >= 5 + 5 + 5


@every_overlay
def test_gateways_share_the_rates_by_as_many_as_there_are_at_least(overlay: str) -> None:
    assert environment(overlay, workload(overlay, "gateway"))["WEPEOPLE_GATEWAYS"] == str(_least("gateway", overlay))


@every_overlay
def test_the_namespace_enforces_the_restricted_profile(overlay: str) -> None:
    [namespace] = of_kind(overlay, "Namespace")

    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert all(
        d["metadata"]["namespace"] == namespace["metadata"]["name"]
        for name in ("foundation", "services", "provision")
        for d in step(overlay, name)
        if d["kind"] != "Namespace"
    )


@every_overlay
def test_the_job_after_a_rollout_is_the_one_before_it_with_one_word_more(overlay: str) -> None:
    before, after = workload(overlay, "provision"), workload(overlay, "provision-after-rollout")

    assert container(after)["args"] == [*container(before)["args"], "--after-rollout"]
    assert _without_args(before) == _without_args(after)


@every_overlay
def test_the_job_tries_again_unless_its_settings_are_wrong(overlay: str) -> None:
    spec = workload(overlay, "provision")["spec"]

    assert spec["backoffLimit"] > 0
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    [rule] = spec["podFailurePolicy"]["rules"]
    assert rule["action"] == "FailJob"
    assert rule["onExitCodes"]["values"] == [2]


def _without_args(document: Document) -> dict[str, Any]:
    return {key: value for key, value in container(document).items() if key != "args"}


def _least(service: str, overlay: str = "production") -> int:
    for scaler in of_kind(overlay, "HorizontalPodAutoscaler"):
        if scaler["metadata"]["name"] == service:
            return int(scaler["spec"]["minReplicas"])
    return int(workload(overlay, service)["spec"]["replicas"])


def test_the_metric_that_scales_the_projector_is_the_one_that_the_adapter_offers() -> None:
    [values] = documents(HERE / "overlays" / "production" / "prometheus-adapter-values.yaml")
    [scaler] = [d for d in of_kind("production", "HorizontalPodAutoscaler") if d["metadata"]["name"] == "projector"]
    [metric] = scaler["spec"]["metrics"]

    assert [rule["name"]["as"] for rule in values["rules"]["external"]] == [metric["external"]["metric"]["name"]]
    assert scaler["spec"]["maxReplicas"] == PARTITIONS
