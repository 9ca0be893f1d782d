"""docs/configuration.md is what the settings classes say."""

import re
from pathlib import Path

from wepeople_chassis.configuration import document
from wepeople_chassis.settings_check import is_secret, known_settings, variable_of

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
CONFIGURATION = DOCS / "configuration.md"
ROW = re.compile(r"^\| `(WEPEOPLE_[A-Z_0-9]+)` \|(.*)\|$", re.MULTILINE)


def rows() -> list[tuple[str, list[str]]]:
    return [(name, [cell.strip() for cell in re.split(r"(?<!\\)\|", rest)]) for name, rest in ROW.findall(document())]


def test_the_page_is_not_stale() -> None:
    assert CONFIGURATION.read_text() == document(), "run `make specification`"


def test_every_setting_of_every_member_is_in_a_table_with_a_meaning_and_an_example() -> None:
    shown = {name for name, _ in rows()}
    assert shown == {variable_of(field) for cls in known_settings().values() for field in cls.model_fields}
    for name, (kind, _, meaning, _, example) in rows():
        assert kind, name
        assert len(meaning) > 10, name
        assert len(example) > 2, name


def test_secrets_are_marked_and_no_default_is_shown_of_them() -> None:
    fields = [field for cls in known_settings().values() for field in cls.model_fields.items()]
    secret = {variable_of(name) for name, info in fields if is_secret(info)}
    assert {"WEPEOPLE_NATS_SEED", "WEPEOPLE_POSTGRES_DSN", "WEPEOPLE_ADMIN_DSN", "WEPEOPLE_API_KEY"} <= secret
    for name, (_, default, _, marked, _) in rows():
        assert (marked == "yes") == (name in secret), name
        assert not (marked and default not in ("", "**required**")), name


def test_no_page_names_a_setting_that_does_not_exist() -> None:
    known = {variable_of(field) for cls in known_settings().values() for field in cls.model_fields}
    composed = "".join(file.read_text() for file in (ROOT / "deploy/compose").glob("*.yaml"))
    # Compose has variables of its own, which never reach a container.
    known |= set(re.findall(r"\$\{(WEPEOPLE_[A-Z_0-9]+)", composed))
    for page in [*ROOT.glob("*.md"), *DOCS.rglob("*.md")]:
        named = set(re.findall(r"\bWEPEOPLE_[A-Z_0-9]*[A-Z0-9]\b(?!…)", page.read_text()))
        assert named - known == set(), page.name
