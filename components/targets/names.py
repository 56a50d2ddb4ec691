"""Physical names: deterministic, so that what a crash left behind can be found, and never longer than clouds allow."""

from __future__ import annotations

import hashlib

import pulumi

HASH = 6
LONGEST_PREFIX = 50
"""What is made of it has at most 63 characters."""


def prefix(component: str) -> str:
    """What the names of a target's resources begin with: project and stack, and the component where it has a name of
    its own. Long ones are cut and told apart by a hash.
    """
    own = [] if component == "target" else [component]
    return limited(tidy("-".join([pulumi.get_project(), pulumi.get_stack(), *own])), LONGEST_PREFIX)


def tidy(text: str) -> str:
    """Lower-case letters, digits and '-', beginning with a letter."""
    plain = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in text.lower()).strip("-")
    return plain if plain[:1].isalpha() else f"m-{plain}"


def limited(text: str, longest: int) -> str:
    """A name as it is, or cut and told apart from others by a hash of the whole."""
    if len(text) <= longest:
        return text
    told = hashlib.sha256(text.encode()).hexdigest()[:HASH]
    return f"{text[: longest - HASH - 1].rstrip('-')}-{told}"
