"""Which migrations are run before the new code, which after the old, and which never."""

import re
from pathlib import Path

import pytest

from wepeople_chassis.postgres import schema_files
from wepeople_provision.errors import ProvisionError
from wepeople_provision.migrations import Due, FileKey, Record, SchemaFile, due_files, installed_files

FOUNDED = SchemaFile("auth", "001_orgs.sql", "CREATE SCHEMA auth")
EXPAND = SchemaFile("auth", "002_names.sql", "ALTER TABLE auth.orgs ADD COLUMN first text")
CONTRACT = SchemaFile("auth", "002_names.post.sql", "ALTER TABLE auth.orgs DROP COLUMN name")
NEXT = SchemaFile("auth", "003_more.sql", "ALTER TABLE auth.orgs ADD COLUMN more text")
FILES = [FOUNDED, EXPAND, CONTRACT, NEXT]


def applied(*files: SchemaFile) -> dict[FileKey, str]:
    return {file.key: file.sha256 for file in files}


def test_only_files_not_applied_yet_are_due_in_their_order() -> None:
    files = [FOUNDED, EXPAND, NEXT]
    assert due_files(files, Record(), after_rollout=False).now == files
    assert due_files(files, Record(applied(FOUNDED)), after_rollout=False).now == [EXPAND, NEXT]


def test_a_changed_file_is_refused_by_its_name() -> None:
    with pytest.raises(ProvisionError, match=r"auth/001_orgs\.sql"):
        due_files(FILES, Record({FOUNDED.key: "another"}), after_rollout=False)


def test_what_old_code_still_needs_waits_until_it_is_gone() -> None:
    record = Record(applied(FOUNDED))
    assert due_files(FILES, record, after_rollout=False) == Due([EXPAND, NEXT], [CONTRACT])
    assert due_files(FILES, record, after_rollout=True) == Due([EXPAND, CONTRACT, NEXT])


def test_a_new_installation_has_no_old_code_and_gets_everything_at_once() -> None:
    assert due_files(FILES, Record(), after_rollout=False) == Due(FILES)
    other = SchemaFile("quota", "001_quota.sql", "CREATE SCHEMA quota")
    assert due_files(FILES, Record(applied(other)), after_rollout=False).now == FILES


def test_a_rollout_that_is_still_owed_something_must_be_finished_before_the_next() -> None:
    record = Record(applied(FOUNDED, EXPAND), owed={CONTRACT.key})
    assert due_files(FILES[:3], record, after_rollout=False).later == [CONTRACT]
    with pytest.raises(ProvisionError, match=r"auth/002_names\.post\.sql.*--after-rollout"):
        due_files(FILES, record, after_rollout=False)
    assert due_files(FILES, record, after_rollout=True).now == [CONTRACT, NEXT]


def test_a_run_that_failed_in_the_middle_is_no_unfinished_rollout() -> None:
    assert due_files(FILES, Record(applied(FOUNDED, EXPAND)), after_rollout=False) == Due([NEXT], [CONTRACT])


def test_an_older_release_comes_back_between_expand_and_contract_but_not_after() -> None:
    old = [FOUNDED]
    assert due_files(old, Record(applied(FOUNDED, EXPAND)), after_rollout=False).newer == [EXPAND.key]
    with pytest.raises(ProvisionError, match=r"newer release.*auth/002_names\.post\.sql"):
        due_files(old, Record(applied(FOUNDED, EXPAND, CONTRACT)), after_rollout=False)


def test_the_files_of_a_member_that_is_not_installed_here_say_nothing() -> None:
    other = SchemaFile("quota", "001_quota.post.sql", "CREATE SCHEMA quota")
    assert due_files([FOUNDED], Record(applied(FOUNDED, other)), after_rollout=False) == Due()


def test_every_installed_file_is_named_by_its_number_and_each_number_is_there_once() -> None:
    numbers: dict[tuple[str, str, bool], str] = {}
    for file in installed_files():
        match = re.fullmatch(r"(\d{3})_[a-z0-9_]+(\.post)?\.sql", file.name)
        assert match, file
        numbered = (file.schema, match[1], file.after_rollout)
        assert numbers.setdefault(numbered, file.name) == file.name
    assert numbers


def test_the_contract_follows_its_own_expand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "made_up_schema"
    package.mkdir()
    for name in ("__init__.py", "010_b.sql", "009_a.post.sql", "009_a.sql", "010_b.post.sql"):
        (package / name).write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = [name for name, _ in schema_files("made_up_schema")]
    assert found == ["009_a.sql", "009_a.post.sql", "010_b.sql", "010_b.post.sql"]
