"""`python -m wepeople_gateway.specification [openapi|asyncapi]` prints a document as it is kept in `docs/`."""

import sys
from collections.abc import Callable
from typing import Any

from wepeople_gateway.specification.asyncapi import asyncapi_document
from wepeople_gateway.specification.openapi import openapi_document
from wepeople_gateway.specification.yaml_text import yaml_text

_DOCUMENTS: dict[str, Callable[[], dict[str, Any]]] = {"openapi": openapi_document, "asyncapi": asyncapi_document}

name = sys.argv[1] if len(sys.argv) > 1 else "openapi"
if name not in _DOCUMENTS:
    raise SystemExit(f"There is no document {name!r}; choose one of {', '.join(_DOCUMENTS)}.")
sys.stdout.write(yaml_text(_DOCUMENTS[name]()))
