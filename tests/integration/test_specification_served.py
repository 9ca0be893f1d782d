"""The documents as they are served: open, cacheable, self-contained, and where the errors' `docsUrl` leads."""

import json
import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urldefrag, urljoin

import aiohttp
import pytest
import yaml

from tests.support.client import client, refusal
from tests.support.system import RunningSystem
from wepeople_contracts.errors import STATUS
from wepeople_gateway.errors import docs_link
from wepeople_gateway.settings import GatewaySettings
from wepeople_gateway.specification.openapi import openapi_document

ROOT = Path(__file__).parents[2]
PAGES = ("/developers/guide", "/developers/reference")
DOCUMENTS = ("/openapi.yaml", "/openapi.json", *PAGES)


@pytest.fixture
async def browser(system: RunningSystem) -> AsyncIterator[aiohttp.ClientSession]:
    """A visitor without a key, who follows no redirect."""
    async with aiohttp.ClientSession(system.gateway_url, timeout=aiohttp.ClientTimeout(total=10)) as session:
        yield session


class Page(HTMLParser):
    """The anchors of a page, what it links to, and what it loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: list[str] = []
        self.links: list[str] = []
        self.loads: list[str] = []
        self.inline: list[str] = []
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given: dict[str, Any] = dict(attrs)
        if "id" in given:
            self.anchors.append(given["id"])
        if tag == "a":
            self.links.append(given["href"])
        if tag == "link" or "src" in given:
            self.loads.append(given.get("src") or given["href"])
        if "style" in given or any(name.startswith("on") for name in given) or tag == "style":
            self.inline.append(self.get_starttag_text() or tag)
        if tag == "script" and "src" not in given:
            self.inline.append("script")


async def get(browser: aiohttp.ClientSession, path: str, **headers: str) -> tuple[aiohttp.ClientResponse, str]:
    async with browser.get(path, headers=headers, allow_redirects=False) as response:
        return response, await response.text()


@pytest.mark.parametrize("path", DOCUMENTS)
async def test_a_document_needs_no_key_and_may_be_kept_until_it_changes(
    browser: aiohttp.ClientSession, path: str
) -> None:
    response, text = await get(browser, path)
    assert (response.status, bool(text)) == (200, True)
    assert "max-age" in response.headers["Cache-Control"]
    again, nothing = await get(browser, path, **{"If-None-Match": response.headers["ETag"]})
    assert (again.status, nothing) == (304, "")
    assert again.headers["ETag"] == response.headers["ETag"]
    other, _ = await get(browser, path, **{"If-None-Match": '"another"'})
    assert other.status == 200


async def test_gzip_is_for_those_who_take_it(browser: aiohttp.ClientSession) -> None:
    plain, text = await get(browser, "/openapi.yaml", **{"Accept-Encoding": "identity"})
    packed, same = await get(browser, "/openapi.yaml", **{"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert same == text


async def test_what_is_served_is_what_is_in_docs(browser: aiohttp.ClientSession) -> None:
    response, text = await get(browser, "/openapi.yaml")
    assert response.content_type == "application/yaml"
    assert text == (ROOT / "docs/openapi.yaml").read_text("utf-8")
    response, text = await get(browser, "/openapi.json")
    assert response.content_type == "application/json"
    assert json.loads(text) == yaml.safe_load((ROOT / "docs/openapi.yaml").read_text("utf-8"))


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_takes_everything_from_the_gateway_and_holds_nothing_inline(
    browser: aiohttp.ClientSession, path: str
) -> None:
    response, text = await get(browser, path)
    assert response.headers["Content-Security-Policy"].startswith("default-src 'self';")
    assert "unsafe" not in response.headers["Content-Security-Policy"]
    page = Page(text)
    assert page.inline == []
    assert page.loads
    for address in (*page.loads, *(urldefrag(link).url for link in page.links)):
        assert not re.match(r"\w+:|//", address), address
        found, _ = await get(browser, urljoin(path, address))
        assert found.status == 200, address


async def test_the_viewers_stylesheet_holds_no_image_inline_and_the_images_are_served(
    browser: aiohttp.ClientSession,
) -> None:
    _, css = await get(browser, "/developers/assets/swagger-ui.css")
    addresses = re.findall(r"url\(([^)]*)\)", css)
    assert len(addresses) > 5
    for address in addresses:
        async with browser.get(address.strip('"')) as response:
            body = await response.read()
            assert (response.status, response.content_type.partition("/")[0]) == (200, "image")
            assert body.startswith((b"<svg ", b"\x89PNG", b"\xff\xd8"))


async def test_stylesheets_and_scripts_of_our_own_name_no_other_server(browser: aiohttp.ClientSession) -> None:
    for name in ("style.css", "reference.css", "reference.js"):
        _, text = await get(browser, f"/developers/assets/{name}")
        assert not re.search(r"//\w", text), name


async def test_every_link_within_the_guide_leads_to_an_anchor(browser: aiohttp.ClientSession) -> None:
    _, text = await get(browser, "/developers/guide")
    page = Page(text)
    assert len(page.anchors) == len(set(page.anchors))
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.anchors)


@pytest.mark.parametrize("code", STATUS)
async def test_the_docs_url_of_each_code_is_a_page_with_that_anchor_which_says_the_status(
    browser: aiohttp.ClientSession, code: Any
) -> None:
    page, anchor = urldefrag(docs_link(GatewaySettings().docs_url, code))
    response, text = await get(browser, page)
    assert response.status == 200
    assert anchor in Page(text).anchors
    assert f'id="{anchor}">{code}</h3>\n<p><strong>{STATUS[code]}.</strong>' in text


async def test_a_real_errors_docs_url_can_be_followed(system: RunningSystem, browser: aiohttp.ClientSession) -> None:
    async with client(system.gateway_url, None) as stranger:
        error = refusal(await stranger.ping(), 401, "invalid_key")
    page, anchor = urldefrag(urljoin(system.gateway_url, error["docsUrl"]))
    _, text = await get(browser, page)
    assert anchor in Page(text).anchors


async def test_every_documented_path_is_served_under_its_method(browser: aiohttp.ClientSession) -> None:
    for path, operations in openapi_document()["paths"].items():
        for method in operations:
            async with browser.request(method, path.replace("{requestId}", "req_1")) as response:
                assert response.status in (200, 401), (method, path)
        async with browser.request("PUT", path.replace("{requestId}", "req_1")) as response:
            assert {m.strip() for m in response.headers["Allow"].split(",")} - {"HEAD"} == {
                m.upper() for m in operations
            }
