"""JSON Schema (draft 7, which AsyncAPI builds on) of the stream's structs and of the services' messages."""

import inspect
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from wepeople_gateway.specification.schemas import REF_TEMPLATE, Schema

_Model = type[BaseModel]


def struct_schemas(structs: Sequence[type[Struct]]) -> dict[str, Schema]:
    """The components of structs that travel as MessagePack: arrays name their places, bytes are `format: binary`."""
    _, components = msgspec.json.schema_components(structs, ref_template=REF_TEMPLATE)
    places = {struct.__name__: struct.__struct_encode_fields__ for struct in _with_parts(structs)}
    for name, schema in components.items():
        for title, item in zip(places[name], schema.get("prefixItems", ()), strict=False):
            item["title"] = title
    return {name: _draft_7(schema) for name, schema in components.items()}


def model_schemas(models: Sequence[_Model]) -> tuple[dict[_Model, Schema], dict[str, Schema]]:
    """A reference to each model, and the components that these need."""
    unique = list(dict.fromkeys(models))
    found, document = models_json_schema(
        [(model, "serialization") for model in unique], ref_template=REF_TEMPLATE.format(name="{model}")
    )
    references = {model: found[(model, "serialization")] for model in unique}
    return references, {name: _draft_7(schema) for name, schema in document["$defs"].items()}


def _with_parts(structs: Sequence[type[Struct]]) -> set[type[Struct]]:
    """The structs and all that their fields hold."""
    found: set[type[Struct]] = set()

    def look(type_: Any) -> None:
        if isinstance(type_, msgspec.inspect.StructType) and type_.cls not in found:
            found.add(type_.cls)
            for field in type_.fields:
                look(field.type)
        elif isinstance(type_, msgspec.inspect.ListType):
            look(type_.item_type)

    for struct in structs:
        look(msgspec.inspect.type_info(struct))
    return found


def _draft_7(value: Any) -> Any:
    if isinstance(value, list):
        return [_draft_7(item) for item in value]
    if not isinstance(value, dict):
        return value
    schema = {name: _draft_7(item) for name, item in value.items()}
    # AsyncAPI's own `discriminator` is a string; each variant's constant tells it anyway.
    schema.pop("discriminator", None)
    if "prefixItems" in schema:
        schema["items"] = schema.pop("prefixItems")
    if schema.get("contentEncoding") == "base64":
        del schema["contentEncoding"]
        schema["format"] = "binary"
    if isinstance(text := schema.get("description"), str):
        schema["description"] = inspect.cleandoc(text)
    return schema
