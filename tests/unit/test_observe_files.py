"""What watches the system speaks of what there is: alerts, dashboard and docs name the metrics of the code, by labels
that they have; each alert is tested and explained. What the alerts do is tested by promtool: `make alerts`.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from prometheus_client.metrics import MetricWrapperBase

import wepeople_archiver.metrics
import wepeople_auth.metrics
import wepeople_chassis.metrics
import wepeople_gateway.metrics
import wepeople_projections.replay.watched
import wepeople_projector.metrics
import wepeople_quota.metrics
from wepeople_chassis.tallies import SpreadMetric, TallyMetric

ROOT = Path(__file__).parents[2]
OBSERVE = ROOT / "deploy/observe"
DOCS = (ROOT / "docs/observability.md").read_text("utf-8")
SERVICES = {
    "every service": wepeople_chassis.metrics,
    "gateway": wepeople_gateway.metrics,
    "auth": wepeople_auth.metrics,
    "quota": wepeople_quota.metrics,
    "projector": wepeople_projector.metrics,
    "archiver": wepeople_archiver.metrics,
    "`wepeople projection run`": wepeople_projections.replay.watched,
}
TARGET_LABELS = {"job", "instance", "le"}
"""Prometheus' own; each metric has them."""

FOREIGN = {
    "up": set[str](),
    "process_cpu_seconds_total": set[str](),
    "process_resident_memory_bytes": set[str](),
    "kubelet_volume_stats_available_bytes": {"namespace", "persistentvolumeclaim"},
    "kubelet_volume_stats_capacity_bytes": {"namespace", "persistentvolumeclaim"},
    "node_filesystem_avail_bytes": {"fstype", "mountpoint"},
    "node_filesystem_size_bytes": {"fstype", "mountpoint"},
}
"""Metrics that are not ours, with labels that we name."""


@dataclass(frozen=True, slots=True)
class Described:
    """What a metric is, as it is scraped."""

    name: str
    kind: str
    labels: tuple[str, ...]
    documentation: str


def metrics_of(module: ModuleType) -> Iterator[Described]:
    """The metrics that a module defines, in order: its constants. What is bound of them has names in lower case."""
    for name, value in vars(module).items():
        if name.isupper() and isinstance(value, TallyMetric | SpreadMetric):
            yield Described(value.name, value.kind, value.labelnames, value.documentation)
        elif name.isupper() and isinstance(value, MetricWrapperBase):
            # The client leaves `_total` off a counter's own name.
            scraped = f"{value._name}_total" if value._type == "counter" else value._name
            yield Described(scraped, str(value._type), tuple(value._labelnames), value._documentation)


METRICS = {metric.name: metric for module in SERVICES.values() for metric in metrics_of(module)}
KNOWN = {name: set(metric.labels) for name, metric in METRICS.items()} | FOREIGN


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((OBSERVE / "alerts.yml").read_text())["groups"]
    return list(chain.from_iterable(group["rules"] for group in groups))


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((OBSERVE / "grafana/dashboards/wepeople.json").read_text())
    return found


def panels() -> Iterator[dict[str, Any]]:
    return (panel for panel in dashboard()["panels"] if panel["type"] != "row")


def expressions() -> dict[str, str]:
    alerts = {f"alert {rule['alert']}": rule["expr"] for rule in rules()}
    drawn = {
        f"panel {panel['title']} {target['refId']}": target["expr"] for panel in panels() for target in panel["targets"]
    }
    return alerts | drawn


def metrics_in(expression: str) -> set[str]:
    """The metrics that an expression reads; of a histogram its name without what stands for its parts."""
    found = re.findall(r"\b(?:wepeople|process|kubelet|node)_\w+|\bup\b", expression)
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in found}


@pytest.mark.parametrize(("where", "expression"), expressions().items())
def test_an_expression_reads_metrics_that_are_there_by_labels_that_they_have(where: str, expression: str) -> None:
    read = metrics_in(expression)
    assert read, where
    assert read <= KNOWN.keys()
    matched = re.findall(r"[{,]\s*(\w+)\s*(?:=~|!~|!=|=)", expression)
    grouped = re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", expression)
    labels = set(matched) | {label.strip() for group in grouped for label in group.split(",")}
    assert labels <= TARGET_LABELS.union(*(KNOWN[name] for name in read))


def test_compose_tells_both_projectors_how_long_events_are_kept() -> None:
    services = yaml.safe_load((OBSERVE.parent / "compose/compose.yaml").read_text())["services"]
    for name in ("projector", "projector-2"):
        assert services[name]["environment"]["WEPEOPLE_KEEP_EVENTS_DAYS"] == "${WEPEOPLE_KEEP_EVENTS_DAYS:-}"


def test_what_is_named_must_be_there() -> None:
    assert metrics_in("sum by (scope) (rate(wepeople_nothing_bucket[5m])) > up") == {"wepeople_nothing", "up"}


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_says_how_bad_it_is_and_what_to_do_and_is_tested(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["annotations"]["summary"]
    assert re.search(rf"^### {rule['alert']}$", DOCS, re.MULTILINE), "docs/observability.md says what to do"
    tests = yaml.safe_load((OBSERVE / "alerts_test.yml").read_text())["tests"]
    fired = {
        case["alertname"] for test in tests for case in test.get("alert_rule_test", ()) if case.get("exp_alerts", ())
    }
    assert rule["alert"] in fired, "alerts_test.yml makes it fire"


def test_no_alert_is_explained_that_is_not_there() -> None:
    section = DOCS.split("## Alerts")[1].split("\n## ")[0]
    assert set(re.findall(r"^### (\w+)$", section, re.MULTILINE)) == {rule["alert"] for rule in rules()}


@pytest.mark.parametrize(("service", "metric"), [(s, m) for s, module in SERVICES.items() for m in metrics_of(module)])
def test_a_metric_is_in_the_docs_as_it_is_in_the_code(service: str, metric: Described) -> None:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    row = f"| `{metric.name}` | {metric.kind} | {labels} | {metric.documentation} |"
    section = DOCS.split(f"### Of {service}\n")[1].split("\n### ")[0]
    assert row in section.splitlines()


def test_the_docs_name_no_metric_that_is_not_there() -> None:
    tables = [line for line in DOCS.splitlines() if line.startswith("| `wepeople_")]
    assert {line.split("`")[1] for line in tables} == METRICS.keys()


def test_prometheus_asks_each_service_by_its_name_on_its_ops_port() -> None:
    config = yaml.safe_load((OBSERVE / "prometheus.yml").read_text())
    asked = {job["job_name"]: job["dns_sd_configs"][0] for job in config["scrape_configs"]}
    assert asked.keys() == {"gateway", "auth", "quota", "projector", "archiver"}
    assert all(found["names"] == [service] and found["port"] == 9090 for service, found in asked.items())
    assert all((OBSERVE / file).exists() for file in config["rule_files"])


def test_the_dashboards_panels_read_from_a_source_that_can_be_chosen_and_begins_with_ours() -> None:
    [source] = yaml.safe_load((OBSERVE / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"]
    [variable] = dashboard()["templating"]["list"]
    assert (variable["type"], variable["query"]) == ("datasource", source["type"])
    assert variable["current"] == {"selected": True, "text": source["name"], "value": source["uid"]}
    asked = {thing["datasource"]["uid"] for panel in panels() for thing in (panel, *panel["targets"])}
    assert asked == {f"${{{variable['name']}}}"}
    ids = [panel["id"] for panel in dashboard()["panels"]]
    assert len(ids) == len(set(ids))


def test_each_panel_says_what_it_shows_and_has_a_legend() -> None:
    assert all(panel["description"] for panel in panels())
    assert all(panel["options"]["legend"]["showLegend"] for panel in panels())


def test_a_rate_in_an_alerts_words_is_a_plain_number() -> None:
    """`humanize` makes 503m of half a request."""
    said = [rule["annotations"]["summary"] for rule in rules() if "rate(" in rule["expr"]]
    assert [summary for summary in said if "humanize }}" in summary] == []


def test_the_collectors_pipeline_is_of_what_it_defines_and_leaves_nothing_out() -> None:
    config = yaml.safe_load((OBSERVE / "otel-collector.yml").read_text())
    [pipeline] = config["service"]["pipelines"].values()
    for kind in ("receivers", "processors", "exporters"):
        assert pipeline[kind] == list(config[kind])


def test_the_collector_listens_where_the_services_are_told_that_it_is_and_stays_within_its_memory() -> None:
    text = (ROOT / "deploy/compose/compose.yaml").read_text()
    container = yaml.safe_load(text)["services"]["otel-collector"]
    config = yaml.safe_load((OBSERVE / "otel-collector.yml").read_text())
    port = config["receivers"]["otlp"]["protocols"]["http"]["endpoint"].rpartition(":")[2]
    for said in (text, DOCS):
        assert set(re.findall(r"http://otel-collector:(\d+)", said)) == {port}
    assert config["processors"]["memory_limiter"]["limit_mib"] < int(container["mem_limit"].removesuffix("m"))


def test_panels_do_not_lie_on_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
