"""Serving documents: bytes that are there from the start, without a key, cacheable, and from this server alone."""

import gzip
import hashlib
import json
from functools import cached_property

from aiohttp import web

from wepeople_gateway.developers import viewer
from wepeople_gateway.developers.pages import ASSETS, guide_page, own_file, reference_page
from wepeople_gateway.specification.openapi import openapi_document
from wepeople_gateway.specification.yaml_text import yaml_text

_HEADERS = {
    "Cache-Control": "public, max-age=300",
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "object-src 'none'",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept-Encoding",
    "X-Content-Type-Options": "nosniff",
}

_TYPES = {
    "css": "text/css",
    "jpeg": "image/jpeg",
    "js": "text/javascript",
    "png": "image/png",
    "svg": "image/svg+xml",
}


class Document:
    """One document at one path. Its ETag is a hash of what it says."""

    def __init__(self, content_type: str, body: bytes) -> None:
        self._content_type = content_type
        self._body = body
        self._etag = hashlib.sha256(body).hexdigest()[:24]

    async def answer(self, request: web.Request) -> web.Response:
        """The document; 304 to a client that has it already."""
        known = any(etag.value in (self._etag, "*") for etag in request.if_none_match or ())
        response = web.Response(status=304 if known else 200, headers=_HEADERS)
        response.etag = self._etag
        if known:
            return response
        response.content_type = self._content_type
        if not self._content_type.startswith("image/"):
            response.charset = "utf-8"
        response.body = self._body
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            response.headers["Content-Encoding"] = "gzip"
            response.body = self._gzipped
        return response

    @cached_property
    def _gzipped(self) -> bytes:
        return gzip.compress(self._body, 6, mtime=0)


def add_documents(app: web.Application) -> None:
    """Adds the OpenAPI document, the guide, the reference, and what these two are made of."""
    openapi = openapi_document()
    viewer_css, viewer_images = viewer.stylesheet(ASSETS)
    documents = {
        "/openapi.yaml": ("application/yaml", yaml_text(openapi).encode()),
        "/openapi.json": ("application/json", json.dumps(openapi, ensure_ascii=False).encode()),
        "/developers/guide": ("text/html", guide_page().encode()),
        "/developers/reference": ("text/html", reference_page().encode()),
    }
    assets = {name: own_file(name) for name in ("style.css", "reference.css", "reference.js", "icon.svg")}
    assets |= {"swagger-ui-bundle.js": viewer.script(), "swagger-ui.css": viewer_css} | viewer_images
    documents |= {f"{ASSETS}/{name}": (_TYPES[name.rpartition(".")[2]], body) for name, body in assets.items()}
    for path, (content_type, body) in documents.items():
        app.router.add_get(path, Document(content_type, body).answer)
