"""The two pages for people: the guide, and the reference with its viewer."""

from functools import cache
from html import escape
from importlib.resources import files
from itertools import groupby
from string import Template

from wepeople_gateway.developers.guide import Section, guide

ASSETS = "/developers/assets"

_VIEWER = """\
<div class="notes">
<p id="errors">What each error code means and what to do: <a href="/developers/guide#errors">guide, Errors</a>.</p>
<noscript><p>The viewer below needs JavaScript; <a href="/openapi.yaml">openapi.yaml</a> says the same.</p></noscript>
</div>
<main id="content"></main>"""


def guide_page() -> str:
    """The guide with its table of contents."""
    content = (
        f'<div class="guide">\n<nav class="contents" aria-label="On this page"><div>{_contents(guide().sections)}</div>'
        f'</nav>\n<main id="content">\n{guide().html}</main>\n</div>'
    )
    return _page("Guide", content, ["style.css"], [])


def reference_page() -> str:
    """The frame in which Swagger UI shows `/openapi.json`."""
    styles = ["style.css", "swagger-ui.css", "reference.css"]
    return _page("API reference", _VIEWER, styles, ["swagger-ui-bundle.js", "reference.js"])


def own_file(name: str) -> bytes:
    """A file of this package's `static/`."""
    return files(__package__).joinpath("static", name).read_bytes()


def _page(title: str, content: str, styles: list[str], scripts: list[str]) -> str:
    return _template().substitute(
        title=escape(title),
        content=content,
        styles="\n".join(f'<link rel="stylesheet" href="{ASSETS}/{name}">' for name in styles),
        scripts="\n".join(f'<script src="{ASSETS}/{name}" defer></script>' for name in scripts),
    )


@cache
def _template() -> Template:
    return Template(own_file("page.html").decode())


def _contents(sections: tuple[Section, ...]) -> str:
    """Sections as a list, their parts as a list within it."""
    items: list[str] = []
    for level, group in groupby(sections, key=lambda section: section.level):
        links = [f'<a href="#{section.anchor}">{escape(section.title)}</a>' for section in group]
        if level == "h2":
            items += links
        else:
            items[-1] += "<ol>" + "".join(f"<li>{link}</li>" for link in links) + "</ol>"
    return "<ol>" + "".join(f"<li>{item}</li>" for item in items) + "</ol>"
