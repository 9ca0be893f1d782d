"""The guide: `docs/guide.md`, rendered once at the start, with an anchor at every heading."""

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from markdown_it import MarkdownIt
from markdown_it.token import Token

_SECTION, _PART = "h2", "h3"

_markdown = MarkdownIt("commonmark", {"html": False}).enable("table")


@dataclass(frozen=True, slots=True)
class Section:
    """A heading: its level (`h2`, `h3`), its anchor, its text, and the paragraph that follows it, as Markdown."""

    level: str
    anchor: str
    title: str
    lead: str


@dataclass(frozen=True, slots=True)
class Guide:
    """The guide as HTML, and its sections in order."""

    html: str
    sections: tuple[Section, ...]

    def lead(self, anchor: str) -> str:
        """The first paragraph of a section; `KeyError` when the guide has no such anchor."""
        return {section.anchor: section.lead for section in self.sections}[anchor]


@cache
def guide() -> Guide:
    """Read and render the guide (`guide.md` in this package is a link to the file in `docs/`)."""
    return render(files(__package__).joinpath("guide.md").read_text("utf-8"))


def render(text: str) -> Guide:
    """Markdown to HTML. A part's anchor begins with its section's: `errors-invalid_body`."""
    tokens = _markdown.parse(text)
    sections: list[Section] = []
    parent = ""
    for opening, inline, _, *rest in zip(tokens, tokens[1:], tokens[2:], tokens[3:], tokens[4:], strict=False):
        if opening.type != "heading_open" or opening.tag not in (_SECTION, _PART):
            continue
        anchor = _slug(inline.content)
        if opening.tag == _SECTION:
            parent = anchor
        else:
            anchor = f"{parent}-{anchor}"
        opening.attrSet("id", anchor)
        sections.append(Section(opening.tag, anchor, inline.content, _lead(rest)))
    return Guide(_scrolling(_markdown.renderer.render(tokens, _markdown.options, {})), tuple(sections))


def _lead(following: list[Token]) -> str:
    opening, inline = following
    return inline.content.replace("\n", " ") if opening.type == "paragraph_open" else ""


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9_]+", "-", title.lower()).strip("-")


def _scrolling(html: str) -> str:
    """Wide tables scroll by themselves, also with the keyboard."""
    opened = '<div class="scroll" role="region" aria-label="Table" tabindex="0"><table>'
    return html.replace("<table>", opened).replace("</table>", "</table></div>")
