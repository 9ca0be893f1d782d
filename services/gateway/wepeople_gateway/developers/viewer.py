"""Swagger UI's own files, as a package carries them (services/gateway/pyproject.toml says which)."""

import base64
import re
from importlib.resources import files
from urllib.parse import unquote_to_bytes

_INLINE_IMAGE = re.compile(
    r'url\((?:"data:image/svg\+xml;charset=utf-8,(?P<svg>(?:\\.|[^"\\])*)"'
    r"|data:image/(?P<kind>\w+);base64,(?P<base64>[\w+/=]+))\)"
)


def script() -> bytes:
    """The viewer."""
    return _file("javascripts", "swagger-ui-bundle.js")


def stylesheet(prefix: str) -> tuple[bytes, dict[str, bytes]]:
    """The viewer's stylesheet, and the images that it holds inline, by name.

    Our content policy forbids inline images, so that here they become files under `prefix`.
    """
    images: dict[str, bytes] = {}

    def named(match: re.Match[str]) -> str:
        name = f"swagger-ui-{len(images)}.{match['kind'] or 'svg'}"
        if match["base64"]:
            images[name] = base64.b64decode(match["base64"])
        else:
            images[name] = unquote_to_bytes(match["svg"].replace('\\"', '"'))
        return f'url("{prefix}/{name}")'

    css = _INLINE_IMAGE.sub(named, _file("stylesheets", "swagger-ui.css").decode())
    return css.encode(), images


def _file(kind: str, name: str) -> bytes:
    return files("mkdocs_swagger_ui_tag").joinpath("swagger-ui", kind, name).read_bytes()
