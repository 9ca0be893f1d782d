"""`python -m deploy.kubernetes.render`: what `kubectl apply -k` would send, written to `rendered/`, one file a step.

Needs kustomize, kubectl, or Go to build kustomize with. The files are there to be read in a review and to be checked by
tests that have none of these; `digests.txt` beside them says from which sources they were made, and what they are.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
RENDERED = HERE / "rendered"
OVERLAYS = ("dev", "production")
STEPS = ("foundation", "provision", "services", "after-rollout", "copier", "archive", "operator")
"""In the order in which they are applied; the last one when somebody needs it."""

KUSTOMIZE_MODULE = "sigs.k8s.io/kustomize/kustomize/v5@v5.7.1"
_SOURCES = ("base", "components", "overlays")
_TITLE = "# Made by `make manifests`; change the sources instead.\n"
_DIGESTS = RENDERED / "digests.txt"


def rendered_files() -> Iterator[tuple[str, str, Path]]:
    """Overlay, step and file, in order."""
    for overlay in OVERLAYS:
        for step in STEPS:
            yield overlay, step, RENDERED / f"{overlay}-{step}.yaml"


def digests() -> str:
    """A hash of all sources as they are now, and one of each rendered file."""
    sources = hashlib.sha256()
    for path in sorted(p for folder in _SOURCES for p in (HERE / folder).rglob("*") if p.is_file()):
        sources.update(f"{path.relative_to(HERE)} {_digest(path)}\n".encode())
    rendered = [f"{_digest(path)}  {path.name}" for _, _, path in rendered_files()]
    return "\n".join([f"{sources.hexdigest()}  sources", *rendered, ""])


def is_current() -> bool:
    """Whether the rendered files are of today's sources, and nobody changed one by hand."""
    return _DIGESTS.read_text() == digests()


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def kustomize() -> list[str]:
    """The command that renders a folder; `SystemExit` when none can be had."""
    beside_python = Path(sys.executable).parent / "kustomize"
    if beside_python.exists():
        return [str(beside_python), "build"]
    if shutil.which("kustomize"):
        return ["kustomize", "build"]
    if shutil.which("kubectl"):
        return ["kubectl", "kustomize"]
    if shutil.which("go"):
        print(f"Building {KUSTOMIZE_MODULE} with Go (a minute, once) ...", file=sys.stderr)
        environment = os.environ | {"GOBIN": str(beside_python.parent)}
        subprocess.run(["go", "install", KUSTOMIZE_MODULE], env=environment, check=True)
        return [str(beside_python), "build"]
    raise SystemExit("Rendering needs kustomize, kubectl or Go, and none is here. Install kubectl 1.31 or newer.")


def main() -> None:
    """Write all files."""
    command = kustomize()
    RENDERED.mkdir(exist_ok=True)
    for overlay, step, path in rendered_files():
        folder = HERE / "overlays" / overlay / step
        body = subprocess.run([*command, str(folder)], check=True, capture_output=True, text=True).stdout
        path.write_text(_TITLE + body)
        print(path.relative_to(HERE.parent.parent))
    _DIGESTS.write_text(digests())


if __name__ == "__main__":
    main()
