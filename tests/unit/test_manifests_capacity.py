"""The namespace's quota holds everything at its largest while it is being rolled out."""

import pytest

from deploy.kubernetes.render import HERE, OVERLAYS
from tests.support.manifests import Document, container, documents, of_kind, workloads

UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "m": 0.001}


def amount(text: str) -> float:
    for unit, size in UNITS.items():
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * size
    return float(text)


def at_most(overlay: str, document: Document) -> int:
    for scaler in of_kind(overlay, "HorizontalPodAutoscaler"):
        if scaler["metadata"]["name"] == document["metadata"]["name"]:
            return int(scaler["spec"]["maxReplicas"]) + 1
    surge = 1 if document["kind"] == "Deployment" else 0
    return int(document["spec"].get("replicas", 1)) + surge


def servers(overlay: str) -> list[tuple[int, dict[str, dict[str, str]]]]:
    """How many of what the chart and the operator of production start."""
    if overlay == "dev":
        return []
    [nats] = documents(HERE / "overlays" / "production" / "nats-values.yaml")
    [cluster] = of_kind(overlay, "Cluster")
    [store] = of_kind(overlay, "ObjectStore")
    replicas = nats["config"]["cluster"]["replicas"]
    beside = [nats[name]["merge"]["resources"] for name in ("container", "reloader", "promExporter")]
    instances = cluster["spec"]["instances"] + 1
    sidecar = store["spec"]["instanceSidecarConfiguration"]["resources"]
    return [*((replicas, r) for r in beside), (instances, cluster["spec"]["resources"]), (instances, sidecar)]


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("what", ["requests", "limits"])
@pytest.mark.parametrize("resource", ["cpu", "memory"])
def test_the_quota_is_enough_for_all_of_it(overlay: str, what: str, resource: str) -> None:
    [quota] = of_kind(overlay, "ResourceQuota")
    all_of_it = [(at_most(overlay, d), container(d)["resources"]) for o, d in workloads() if o == overlay]

    needed = sum(count * amount(resources[what][resource]) for count, resources in all_of_it + servers(overlay))

    assert needed <= amount(quota["spec"]["hard"][f"{what}.{resource}"])


def test_no_container_is_larger_than_the_namespace_allows_one_to_be() -> None:
    for overlay in OVERLAYS:
        [ranges] = of_kind(overlay, "LimitRange")
        largest = ranges["spec"]["limits"][0]["max"]
        all_of_it = [container(d)["resources"] for o, d in workloads() if o == overlay]
        for resources in [*all_of_it, *(r for _, r in servers(overlay))]:
            assert all(amount(resources["limits"][name]) <= amount(largest[name]) for name in largest)
