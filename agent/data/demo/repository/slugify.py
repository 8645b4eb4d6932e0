"""Titles to addresses."""

import re


def slugify(title: str) -> str:
    """A title as it stands in an address: lower case, words joined by single hyphens."""
    return re.sub(r"\s", "-", title)
