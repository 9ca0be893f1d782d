"""What the manifests and the generated secrets give a process passes the check that it makes at its start."""

import os
from pathlib import Path

import pytest

from deploy.kubernetes.render import OVERLAYS
from tests.support.manifests import SECRETS, SETTINGS, documents, environment, workload
from wepeople_chassis.settings import load_settings
from wepeople_provision.secret_files import generate


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("generated")
    generate(directory)
    return directory


def mount(generated: Path, part: str, run: Path) -> None:
    """Lay the files of a part's Secret and of the CA under `run`, as in its container."""
    (run / "secrets").mkdir(parents=True)
    (run / "ca").mkdir()
    (run / "ca" / "ca.crt").write_text((generated / "ca" / "ca.crt").read_text())
    [made] = documents(SECRETS / "kustomization.yaml")
    [secret] = [one for one in made["secretGenerator"] if one["name"] == f"wepeople-{part}"]
    for file in secret["files"]:
        text = (generated / file.removeprefix("generated/")).read_text()
        (run / "secrets" / Path(file).name).write_text(text.replace("/run/", f"{run}/"))


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("part", SETTINGS)
def test_a_process_starts_with_what_kubernetes_gives_it(
    *,
    overlay: str,
    part: str,
    generated: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    mount(generated, part, tmp_path / "run")
    for name in [name for name in os.environ if name.startswith("WEPEOPLE_")]:
        monkeypatch.delenv(name)
    for name, value in environment(overlay, workload(overlay, part)).items():
        monkeypatch.setenv(name, value.replace("/run/", f"{tmp_path}/run/"))

    with pytest.raises(SystemExit) as end:
        load_settings(SETTINGS[part], ["--check-config"])

    assert capsys.readouterr().err == ""
    assert end.value.code == 0
