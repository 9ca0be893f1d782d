"""The rendered manifests are of today's sources, and Kubernetes takes them as they are: strictly, all kinds known."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from kubernetes_validate import utils

from deploy.kubernetes.render import HERE, RENDERED, is_current, rendered_files
from tests.support.manifests import SECRETS, documents, named

OLDEST_AND_NEWEST = ("1.31", "1.37")
FILES = [path for _, _, path in rendered_files()]
ALL = [*FILES, SECRETS / "external" / "services.yaml", SECRETS / "external" / "servers.yaml"]

CUSTOM_KINDS: dict[str, Any] = yaml.safe_load(
    (Path(__file__).parent.parent / "support" / "custom_kinds.yaml").read_text()
)


def name(path: Path) -> str:
    return path.stem


@pytest.fixture(autouse=True, scope="module")
def _schemas_are_read_once() -> Any:
    plain = utils.schema_contents
    utils.schema_contents = lru_cache(plain)
    yield
    utils.schema_contents = plain


def test_the_rendered_files_are_what_the_sources_make_and_nobody_edited_them() -> None:
    assert is_current(), "run `make manifests` and commit what it writes"


def test_there_are_no_rendered_files_that_nobody_makes_any_more() -> None:
    assert sorted(RENDERED.glob("*.yaml")) == sorted(FILES)


@pytest.mark.parametrize("version", OLDEST_AND_NEWEST)
@pytest.mark.parametrize("path", ALL, ids=name)
def test_every_document_is_valid_without_a_field_too_many(path: Path, version: str) -> None:
    assert documents(path)
    for document in documents(path):
        kind = f"{document['apiVersion']}/{document['kind']}"
        if kind in CUSTOM_KINDS:
            jsonschema.validate(document["spec"], CUSTOM_KINDS[kind], jsonschema.Draft202012Validator)
            assert document.keys() == {"apiVersion", "kind", "metadata", "spec"}
        else:
            # An unknown kind is an error here, too, and not a warning.
            kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("path", ALL, ids=name)
def test_no_name_is_there_twice_in_what_is_sent_at_once(path: Path) -> None:
    names = [named(document) for document in documents(path)]

    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("path", sorted(HERE.rglob("*.yaml")), ids=lambda path: str(path.relative_to(HERE)))
def test_every_file_is_yaml_in_which_no_key_stands_twice(path: Path) -> None:
    assert documents(path)
