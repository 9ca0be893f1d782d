"""Finding a projection's class, and what projections and their schemas may be called."""

from pathlib import Path

import pytest

from wepeople_projections.commands.load import LoadError, load_file, load_source, machinery_sha256
from wepeople_projections.definition.naming import file_problem, name_problem, split_version
from wepeople_projections.errors import DefinitionError

DEPLOYS = '''
from wepeople_projections import Projection, Row, Sum, add, on_event, table


@table(key=("service",))
class PerService(Row):
    """One service."""

    service: str
    deploys: Sum[int]


class Deploys(Projection):
    name = "deploys"
    version = 1
    tables = (PerService,)

    @on_event("deploy.shipped")
    def count(self, event):
        return add(PerService(event.org_id, event.metadata["service"], 1))
'''
SECOND = """

class More(Deploys):
    name = "more"
"""


def written(folder: Path, text: str = DEPLOYS, name: str = "deploys.py") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_file_with_one_projection_needs_no_class(tmp_path: Path) -> None:
    path = written(tmp_path)
    loaded = load_file(str(path))
    assert (loaded.definition.schema, [table.name for table in loaded.definition.tables]) == (
        "deploys_v1",
        ["per_service"],
    )
    assert loaded.source == f"{path}:Deploys"


def test_a_projection_is_found_again_by_the_source_that_is_kept(tmp_path: Path) -> None:
    loaded = load_file(str(written(tmp_path)))
    assert load_source(loaded.source).code_sha256 == loaded.code_sha256


def test_the_class_is_chosen_by_name_where_there_are_several(tmp_path: Path) -> None:
    path = written(tmp_path, DEPLOYS + SECOND)
    with pytest.raises(LoadError, match=r"several.*:Deploys or .*:More"):
        load_file(str(path))
    assert load_file(f"{path}:More").definition.name == "more"
    with pytest.raises(LoadError, match="no projection Other"):
        load_file(f"{path}:Other")


def test_a_projection_of_parts_is_one(tmp_path: Path) -> None:
    whole = '\n\nclass Whole(Projection):\n    name = "whole"\n    version = 3\n    parts = (Deploys,)\n'
    assert load_file(str(written(tmp_path, DEPLOYS + whole))).definition.schema == "whole_v3"


def test_a_projection_may_import_what_lies_beside_it(tmp_path: Path) -> None:
    written(tmp_path, 'SHIPPED = "deploy.shipped"\n', "beside_the_deploys.py")
    text = "from beside_the_deploys import SHIPPED\n" + DEPLOYS.replace('"deploy.shipped"', "SHIPPED")
    assert load_file(str(written(tmp_path, text))).definition.events.of("deploy.shipped")


def test_a_change_of_the_code_is_seen(tmp_path: Path) -> None:
    before = load_file(str(written(tmp_path))).code_sha256
    assert load_file(str(written(tmp_path, DEPLOYS + "# later\n"))).code_sha256 != before


def test_a_change_of_what_lies_beside_it_and_is_imported_is_seen(tmp_path: Path) -> None:
    beside = written(tmp_path, "SHIPPED = 1\n", "another_beside_the_deploys.py")
    unused = written(tmp_path, "", "nobody_imports_this.py")
    path = str(written(tmp_path, "import another_beside_the_deploys\n" + DEPLOYS))
    before = load_file(path).code_sha256
    unused.write_text("SHIPPED = 2\n")
    assert load_file(path).code_sha256 == before
    beside.write_text("SHIPPED = 2\n")
    assert load_file(path).code_sha256 != before


@pytest.mark.parametrize(
    ("imports", "changed"),
    [
        ("import the_helper_of_deploys", "the_helper_of_deploys.py"),
        ("from the_helper_of_deploys import seven", "the_helper_of_deploys.py"),
        ("import the_helper_of_deploys", "behind_the_helper.py"),
        ("from a_package_of_helpers import inner", "a_package_of_helpers/inner.py"),
        ("from a_package_of_helpers import inner", "a_package_of_helpers/__init__.py"),
        ("import a_package_of_helpers.inner as it", "a_package_of_helpers/sibling.py"),
        ("import a_package_of_helpers.inner as it", "a_package_of_helpers/above.py"),
        ("import a_package_of_helpers.inner as it", "a_package_of_helpers/broken.py"),
    ],
)
def test_a_change_of_what_is_imported_only_once_a_handler_is_called_is_seen_too(
    tmp_path: Path, imports: str, changed: str
) -> None:
    (tmp_path / "a_package_of_helpers").mkdir()
    for name, text in {
        "the_helper_of_deploys.py": "def seven():\n    from behind_the_helper import seven\n    return seven\n",
        "behind_the_helper.py": "import the_helper_of_deploys\nseven = 7\n",
        "a_package_of_helpers/__init__.py": "from a_package_of_helpers import above\n",
        "a_package_of_helpers/inner.py": "from . import sibling\nfrom .broken import nothing\n",
        "a_package_of_helpers/sibling.py": "",
        "a_package_of_helpers/above.py": "",
        "a_package_of_helpers/broken.py": "def broken(:\n",
    }.items():
        written(tmp_path, text, name)
    path = str(written(tmp_path, DEPLOYS.replace("        return add", f"        {imports}\n        return add")))
    before = load_file(path).code_sha256
    assert load_file(path).code_sha256 == before
    with (tmp_path / changed).open("a") as file:
        file.write("# later\n")
    assert load_file(path).code_sha256 != before


def test_another_release_of_what_runs_projections_is_other_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(written(tmp_path))
    before = load_file(path).code_sha256
    release = tmp_path / "release"
    release.mkdir()
    written(release, "later = True\n", "fold.py")
    monkeypatch.setattr("wepeople_projections.commands.load.files", lambda _: release)
    machinery_sha256.cache_clear()
    try:
        assert load_file(path).code_sha256 != before
    finally:
        machinery_sha256.cache_clear()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\n", "has no projection"),
        ("import nowhere_to_be_found\n", "line 1: ModuleNotFoundError"),
        ("\n\ndef broken(:\n", "line 3: SyntaxError"),
        ("\n1 / 0\n", "line 2: ZeroDivisionError"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(LoadError, match=said):
        load_file(str(written(tmp_path, text)))


def test_what_is_wrong_with_a_class_is_said(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="no version"):
        load_file(str(written(tmp_path, DEPLOYS.replace("version = 1", ""))))


def test_a_file_that_is_not_there_or_no_python_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="no file"):
        load_file(str(tmp_path / "deploys.py"))
    with pytest.raises(LoadError, match="not a Python file"):
        load_file(str(written(tmp_path, name="deploys.txt")))


def test_a_name_may_name_a_version() -> None:
    assert split_version("deploys") == ("deploys", None)
    assert split_version("deploys_v12") == ("deploys", 12)
    assert split_version("deploys_v0") == ("deploys_v0", None)
    assert split_version("per_v2_week") == ("per_v2_week", None)


@pytest.mark.parametrize("name", ["Deploys", "1st", "a-b", "", "x" * 49, "auth", "pg_x", "deploys_v2", "deploys_check"])
def test_a_name_that_would_not_do_is_refused(name: str) -> None:
    assert name_problem(name)


@pytest.mark.parametrize("name", ["deploys", "on_call", "v2", "x" * 48])
def test_a_name_that_does_is_taken(name: str) -> None:
    assert name_problem(name) is None


@pytest.mark.parametrize("name", ["json", "class", "match", "pytest"])
def test_a_file_must_not_hide_a_module_from_its_test(name: str) -> None:
    assert file_problem(name)
    assert file_problem("deploys") is None
