"""Names that people give to orgs, keys and workers."""

import unicodedata

from wepeople_auth.refusals import invalid

_FORBIDDEN_CATEGORIES = ("Cc", "Cs")


def checked_name(name: str, what: str) -> str:
    """The name without blanks around it; `invalid` when it holds a control character, which no read model can show."""
    name = name.strip()
    if any(unicodedata.category(character) in _FORBIDDEN_CATEGORIES for character in name):
        raise invalid(f"The {what} {name!r} holds a control character. Use printable characters only.")
    return name
