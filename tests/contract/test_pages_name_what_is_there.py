"""What README and docs tell a reader to type, open and follow is there: commands, options, targets, files, links."""

import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from wepeople_chassis.cli import build

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "bench/RESULTS.md"]
WEPEOPLE = typer.main.get_command(build())
CALLED_BY = re.compile(r"(?:\.venv/bin/|.* -- )?wepeople (.*)|docker compose run --rm (?:operator|provision) (.*)")
FOLDERS = ("shared", "services", "deploy", "tests", "bench", "examples", "docs")
SEARCHED = (ROOT, ROOT / "deploy/kubernetes/overlays/production")
IGNORED_BY_GIT = ("deploy/kubernetes/secrets/generated",)
CODE = [file for folder in FOLDERS[:3] for kind in ("py", "yml", "yaml") for file in (ROOT / folder).rglob(f"*.{kind}")]


def fenced(text: str) -> str:
    """What is typed into a shell, without what is written into files or shown."""
    blocks = re.findall(r"^```([^\n]*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return "\n".join(block for kind, block in blocks if kind.partition(" ")[0] in ("", "sh")).replace("\\\n", " ")


def inline(text: str) -> list[str]:
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose)]


def typed(page: Path) -> Iterator[str]:
    text = page.read_text("utf-8")
    for line in [*fenced(text).splitlines(), *inline(text)]:
        if called := CALLED_BY.fullmatch(re.split(r"\s+#\s|\s[|>]\s", line)[0].strip()):
            yield called[1] or called[2]


def what_is_wrong(line: str) -> str | None:
    """Of a command's words; those after the first … are somebody's own."""
    command, words = WEPEOPLE, shlex.split(line.partition("…")[0])
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        if words[0] not in command.commands:
            return f"no command {words[0]!r}"
        command = command.commands[words.pop(0)]
    if hasattr(command, "commands"):
        return None
    known = {name for option in command.params for name in option.opts} | {"--help"}
    return next((f"no option {word}" for word in words if word.startswith("--") and word not in known), None)


def anchors(page: Path) -> set[str]:
    """As the headings are named by who shows Markdown."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_command_that_is_to_be_typed_exists_with_its_options(page: Path) -> None:
    assert [(line, wrong) for line in typed(page) if (wrong := what_is_wrong(line))] == []


def test_a_command_that_the_code_tells_somebody_to_type_exists() -> None:
    said = {line for file in CODE for line in re.findall(r"`wepeople ([^`{|\"\n]*)", file.read_text("utf-8"))}
    assert len(said) > 50
    assert [(line, wrong) for line in sorted(said) if (wrong := what_is_wrong(line))] == []


def test_a_command_that_does_not_exist_is_noticed() -> None:
    assert what_is_wrong("stream join") == "no command 'join'"
    assert what_is_wrong("projection drop deploys 1 --force") == "no option --force"
    assert sum(len(list(typed(page))) for page in PAGES) > 100


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    wrong = []
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text("utf-8")):
        path, _, heading = link.partition("#")
        target = (page.parent / path) if path else page
        if not target.exists() or (heading and heading not in anchors(target)):
            wrong.append(link)
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_file_a_module_and_a_target_of_make_are_there(page: Path) -> None:
    codes = [*fenced(page.read_text("utf-8")).splitlines(), *inline(page.read_text("utf-8"))]
    words = {word.rstrip("/,;").split("::")[0] for code in codes for word in code.split()}
    words |= set(
        re.findall(
            r"\b[a-z]+/[\w/.-]+\.(?:py|sql|ya?ml|json)\b", re.sub(r"`[^`]*`|\([^)]*\)", "", page.read_text("utf-8"))
        )
    )
    paths = {word for word in words if word.startswith(tuple(f"{folder}/" for folder in FOLDERS)) and "…" not in word}
    missing = [path for path in paths - {*IGNORED_BY_GIT} if not any(list(folder.glob(path)) for folder in SEARCHED)]
    assert missing == []
    modules = {
        name for code in codes for name in re.findall(r"\bpython -m ((?:wepeople_|tests|bench|deploy)[\w.]*)", code)
    }
    assert [name for name in modules if importlib.util.find_spec(name) is None] == []
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    made = {name for code in codes for name in re.findall(r"^make ([a-z]+)", code)}
    assert made - targets == set()
