"""`python -m deploy.kubernetes.reach dev|production`: tries in a cluster all ways between any two parts, on all ports.

For platform teams, once `services` is applied: a network plugin that enforces no NetworkPolicies accepts them too.
Needs kubectl with rights to make namespaces and pods. It starts stand-ins that only listen, one with the label of each
part, strangers within the namespace and in three of their own, tries all from each other, and takes them away again.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

from deploy.kubernetes.arrows import PARTS, THE_INGRESS, THE_MONITORING, Arrow, arrows
from deploy.kubernetes.render import OVERLAYS

NAMESPACE = "wepeople"
STRANGER = "stranger"
OUTSIDER = "namespace of a stranger"
THE_API = "the cluster's API"
THE_NODE = "the node"

INSIDE = (*PARTS, STRANGER)
OUTSIDE: dict[str, dict[str, str]] = {
    OUTSIDER: {},
    THE_INGRESS: {"wepeople.io/ingress": "true"},
    THE_MONITORING: {"wepeople.io/monitoring": "true"},
}
"""The labels of each namespace that is made."""

PORTS = (4222, 5432, 6222, 7777, 8000, 8080, 8222, 9090, 9187)
"""Of all arrows that have both ends here, and NATS's page of figures."""

_LABEL = "wepeople.io/reach=stand-in"
_LISTEN = f"""
import selectors, socket
chosen = selectors.DefaultSelector()
for port in {PORTS}:
    chosen.register(socket.create_server(("", port), backlog=512), selectors.EVENT_READ)
while True:
    for key, _ in chosen.select():
        key.fileobj.accept()[0].close()
"""
_LISTENS = f"import socket; socket.create_connection(('127.0.0.1', {PORTS[-1]}), 1)"
_TRY = """
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor
def reached(way):
    try:
        socket.create_connection(way[1:], 2).close()
    except OSError:
        return False
    return True
ways = json.load(sys.stdin)
with ThreadPoolExecutor(128) as pool:
    print(json.dumps([[way[0], way[2]] for way, there in zip(ways, pool.map(reached, ways)) if there]))
"""


def is_drawn(overlay: str, source: str, target: str, port: int) -> bool:
    """Whether an arrow allows it; one that goes anywhere ends at what has no policy of its own."""
    drawn = arrows(overlay)
    return (source, target, port) in drawn or (target not in INSIDE and (source, "0.0.0.0/0", port) in drawn)


def ways(source: str) -> Iterator[tuple[str, int]]:
    """Every target and port to try from there; strangers of other namespaces may do with each other what they like."""
    for target in INSIDE if source in OUTSIDE else (*INSIDE, *OUTSIDE):
        if target != source:
            yield from ((target, port) for port in PORTS)
    if source not in OUTSIDE:
        yield THE_API, 443
        yield THE_NODE, 10250


def wrong(overlay: str, tried: set[Arrow], reached: set[Arrow]) -> tuple[list[Arrow], list[Arrow]]:
    """What was reached and is not drawn, and what is drawn and was not reached.

    An arrow to anywhere allows and promises nothing: whether it ends at a Service's address is the plugin's to say.
    """
    allowed = {way for way in tried if is_drawn(overlay, *way)}
    return sorted(reached - allowed), sorted((tried & arrows(overlay)) - reached)


def main(overlay: str) -> int:
    """Exit code: 0 when every way is as drawn."""
    try:
        _start()
        addresses = _addresses()
        tried = {(source, *way) for source in (*INSIDE, *OUTSIDE) for way in ways(source)}
        reached = {(source, *way) for source in (*INSIDE, *OUTSIDE) for way in _reached(source, addresses)}
    finally:
        _take_away()
    open_ways, closed_ways = wrong(overlay, tried, reached)
    for source, target, port in open_ways:
        print(f"OPEN, and no arrow says so: {source} -> {target} {port}")
    for source, target, port in closed_ways:
        print(f"CLOSED, and an arrow is drawn: {source} -> {target} {port}")
    print(f"{len(tried)} ways tried, {len(reached)} open, {len(open_ways) + len(closed_ways)} not as drawn")
    return 1 if open_ways or closed_ways else 0


def _start() -> None:
    image = _kubectl("-n", NAMESPACE, "get", "deployment", "gateway", "-o", "jsonpath={..containers[0].image}")
    documents = [_namespace(name, labels) for name, labels in OUTSIDE.items()]
    documents += [_pod(name, image) for name in (*INSIDE, *OUTSIDE)]
    _kubectl("apply", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": documents}))
    for name in (*INSIDE, *OUTSIDE):
        namespace, pod = _place(name)
        _kubectl("-n", namespace, "wait", "--for=condition=Ready", f"pod/{pod}", "--timeout=120s")
    # A plugin may take some seconds to hear of a new pod.
    time.sleep(5)


def _addresses() -> dict[str, str]:
    found = {THE_API: _kubectl("get", "service", "kubernetes", "-o", "jsonpath={.spec.clusterIP}")}
    for name in (*INSIDE, *OUTSIDE):
        namespace, pod = _place(name)
        status = json.loads(_kubectl("-n", namespace, "get", "pod", pod, "-o", "json"))["status"]
        found[name] = status["podIP"]
        found[THE_NODE] = status["hostIP"]
    return found


def _reached(source: str, addresses: dict[str, str]) -> set[tuple[str, int]]:
    namespace, pod = _place(source)
    tries = json.dumps([(target, addresses[target], port) for target, port in ways(source)])
    answer = _kubectl("-n", namespace, "exec", "-i", pod, "--", "python", "-c", _TRY, given=tries)
    return {(target, port) for target, port in json.loads(answer)}


def _take_away() -> None:
    _kubectl("-n", NAMESPACE, "delete", "pod", "-l", _LABEL, "--grace-period=1", "--ignore-not-found")
    _kubectl("delete", "namespace", "-l", _LABEL, "--ignore-not-found")


def _place(name: str) -> tuple[str, str]:
    if name in OUTSIDE:
        return f"wepeople-reach-{list(OUTSIDE).index(name)}", STRANGER
    return NAMESPACE, f"reach-{name}"


def _namespace(name: str, labels: dict[str, str]) -> dict[str, Any]:
    key, value = _LABEL.split("=")
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": _place(name)[0], "labels": {key: value, **labels}},
    }


def _pod(name: str, image: str) -> dict[str, Any]:
    namespace, pod = _place(name)
    key, value = _LABEL.split("=")
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": pod,
            "namespace": namespace,
            "labels": {key: value} | ({"wepeople.io/part": name} if name in PARTS else {}),
        },
        "spec": {
            "automountServiceAccountToken": False,
            # Over the nodes: the plugin may run on some of them only.
            "topologySpreadConstraints": [
                {
                    "topologyKey": "kubernetes.io/hostname",
                    "maxSkew": 1,
                    "whenUnsatisfiable": "ScheduleAnyway",
                    "labelSelector": {"matchLabels": {key: value}},
                }
            ],
            "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": "listens",
                    "image": image,
                    "command": ["python", "-c", _LISTEN],
                    "readinessProbe": {"exec": {"command": ["python", "-c", _LISTENS]}, "timeoutSeconds": 5},
                    "resources": {
                        "requests": {"cpu": "10m", "memory": "32Mi"},
                        "limits": {"cpu": "500m", "memory": "128Mi"},
                    },
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
        },
    }


def _kubectl(*words: str, given: str | None = None) -> str:
    done = subprocess.run(["kubectl", *words], input=given, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"kubectl {' '.join(words[:6])}: {done.stderr.strip()}")
    return done.stdout


if __name__ == "__main__":
    match sys.argv[1:]:
        case [str(overlay)] if overlay in OVERLAYS:
            raise SystemExit(main(overlay))
        case _:
            raise SystemExit(f"python -m deploy.kubernetes.reach {'|'.join(OVERLAYS)}")
