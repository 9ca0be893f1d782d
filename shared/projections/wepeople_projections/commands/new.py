"""`wepeople projection new`: a projection to begin with."""

import json
from pathlib import Path

from wepeople_chassis.operator import fail, stdout
from wepeople_projections.commands.load import built_in_sources
from wepeople_projections.definition.naming import file_problem, name_problem
from wepeople_projections.skeleton import projection_text, pytest_text, test_text

PYTEST_SETTINGS = ("pytest.ini", "pytest.toml", "pyproject.toml", "tox.ini", "setup.cfg")
"""Where a folder may already say how its tests run."""


def write_skeleton(name: str, directory: Path, as_json: bool) -> None:
    """Write NAME.py and test_NAME.py, both or none, and pytest's settings unless the folder has some; exit 2 rather
    than touch a file that is there.
    """
    if problem := name_problem(name) or file_problem(name):
        fail(f"{problem}.")
    if name in built_in_sources():
        fail(f"{name} is a projection that WePeople Ingest brings itself; choose another name.")
    files = {directory / f"{name}.py": projection_text(name), directory / f"test_{name}.py": test_text(name)}
    if there := [str(path) for path in files if path.exists()]:
        fail(f"{' and '.join(there)} is there already, and nothing was written. Choose another name, or move it away.")
    if not any((directory / settings).exists() for settings in PYTEST_SETTINGS):
        files[directory / PYTEST_SETTINGS[0]] = pytest_text()
    directory.mkdir(parents=True, exist_ok=True)
    for path, text in files.items():
        with path.open("x") as file:
            file.write(text)
    written = [str(path) for path in files]
    if as_json:
        print(json.dumps({"files": written}))
        return
    stdout.print(f"Written: {', '.join(written[:-1])} and {written[-1]}", highlight=False)
    stdout.print(f"Test it: pytest {written[1]}", highlight=False)
    stdout.print(f"Run it:  wepeople projection run {written[0]}", highlight=False)
