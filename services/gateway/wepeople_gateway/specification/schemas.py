"""JSON Schema from the types that judge requests, with what their own schemas leave out."""

import inspect
from collections.abc import Sequence
from typing import Any

import msgspec

from wepeople_gateway.specification.bodies import NAMES_SOMEBODY, RAW_PARTS

Schema = dict[str, Any]

REF_TEMPLATE = "#/components/schemas/{name}"


def schemas_of(types: Sequence[Any]) -> tuple[list[Schema], dict[str, Schema]]:
    """The schema of each type, and the components that they refer to."""
    raw_parts = [part for parts in RAW_PARTS.values() for part in parts.values()]
    schemas, components = msgspec.json.schema_components([*types, *raw_parts], ref_template=REF_TEMPLATE)
    found = iter(schemas[len(types) :])
    for struct, parts in RAW_PARTS.items():
        for field in parts:
            schema = next(found)
            if struct.__name__ in components:
                components[struct.__name__]["properties"][field] = schema
    if (actor := components.get(NAMES_SOMEBODY.__name__)) is not None:
        actor["anyOf"] = [{"required": [name]} for name in actor["properties"]]
    return [adapt(schema) for schema in schemas[: len(types)]], {n: adapt(s) for n, s in sorted(components.items())}


def adapt(value: Any) -> Any:
    """A schema as people read it: docstrings lose their indentation, and what says nothing is gone."""
    if isinstance(value, list):
        return [adapt(item) for item in value]
    if not isinstance(value, dict):
        return value
    adapted = {name: adapt(item) for name, item in value.items() if (name, item) != ("required", [])}
    if isinstance(text := adapted.get("description"), str):
        adapted["description"] = inspect.cleandoc(text)
    return adapted
