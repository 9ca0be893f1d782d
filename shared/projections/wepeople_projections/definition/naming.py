"""What projections and their schemas may be called: `deploys`, and `deploys_v2` for a version of it."""

import keyword
import re
import sys

from wepeople_projections.definition.columns import is_name

CHECK = "_check"
REBUILD = "_rebuild"
REPLACED = "_old"
SCRATCH = (CHECK, REBUILD, REPLACED)
"""What is added to a version's schema while `verify` or `rebuild` works beside it."""

_VERSION = re.compile(r"(.+)_v([1-9][0-9]{0,4})")
_TAKEN = ("auth", "information_schema", "provision", "public", "quota")


def split_version(text: str) -> tuple[str, int | None]:
    """A name, and the version if the text names one: `deploys_v2` is (deploys, 2)."""
    match = _VERSION.fullmatch(text)
    return (match[1], int(match[2])) if match else (text, None)


def name_problem(name: str) -> str | None:
    """Why a projection cannot be called so; None when it can."""
    if not is_name(name):
        return f"{name!r} is no name: it is lower case, begins with a letter, and has letters, digits and _, at most 48"
    if name.startswith("pg_") or name in _TAKEN:
        return f"{name} is a schema of the database's own; choose another name"
    if _VERSION.fullmatch(name) or name.endswith(SCRATCH):
        return f"{name} reads like a version's schema; choose a name without that ending"
    return None


def file_problem(name: str) -> str | None:
    """Why no Python file should be called so; None when it can."""
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        return f"{name} is a word of Python, which its test could not import; choose another name"
    if name in sys.stdlib_module_names or name in ("pytest", "conftest"):
        return f"{name}.py would hide a module of that name from its test; choose another name"
    return None
