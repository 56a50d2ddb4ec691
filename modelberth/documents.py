"""YAML as people mean it: a key that appears twice is an error, and so is anything but a mapping."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import yaml

from modelberth.errors import ModelberthError

_SafeLoader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


MOST_BRACKETS = 20_000
"""More nesting than this overflows the stack of the C parser, which no exception reports."""


class DocumentError(ModelberthError):
    """A file is not a YAML mapping; the message names the place and never quotes the file."""


class _Loader(_SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        mapping = super().construct_mapping(node, deep=deep)
        if len(mapping) != len(node.value):
            seen: set[str] = set()
            twice = next((k for k, _ in node.value if k.value in seen or seen.add(k.value)), node)
            raise yaml.constructor.ConstructorError(None, None, "a key appears twice", twice.start_mark)
        return mapping


def mapping(text: str, name: str) -> dict[str, Any]:
    """The mapping in ``text``. Raises :class:`DocumentError` naming ``name`` and the line."""
    if text.count("[") + text.count("{") > MOST_BRACKETS:
        raise DocumentError(f"{name}: more than {MOST_BRACKETS:,} brackets")
    try:
        content = yaml.load(text, Loader=_Loader)  # noqa: S506, derived from the safe loader
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise DocumentError(f"{name}{line}: {error.problem or 'not valid YAML'}") from None
    except (yaml.YAMLError, RecursionError, ValueError):  # ValueError: a date or a number that Python cannot hold
        raise DocumentError(f"{name}: not valid YAML") from None
    if not isinstance(content, dict):
        raise DocumentError(f"{name}: expected a mapping, found {type(content).__name__}")
    return content
