"""YAML as people mean it: a key that appears twice is an error, and so is anything but a mapping."""

from __future__ import annotations

from typing import Any, cast

import yaml

from modelberth.errors import ModelberthError

_Loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

MOST_BRACKETS = 20_000
"""More nesting than this overflows the stack of the C parser, which no exception reports."""


class DocumentError(ModelberthError):
    """A file is not a YAML mapping; the message names the place and never quotes the file."""


def mapping(text: str, name: str) -> dict[str, Any]:
    """The mapping in ``text``. Raises :class:`DocumentError` naming ``name`` and the line."""
    if text.count("[") + text.count("{") > MOST_BRACKETS:
        raise DocumentError(f"{name}: more than {MOST_BRACKETS:,} brackets")
    try:
        content = _content(text)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise DocumentError(f"{name}{line}: {error.problem or 'not valid YAML'}") from None
    except (yaml.YAMLError, RecursionError, ValueError):  # ValueError: a date or a number that Python cannot hold
        raise DocumentError(f"{name}: not valid YAML") from None
    if not isinstance(content, dict):
        raise DocumentError(f"{name}: expected a mapping, found {type(content).__name__}")
    return cast("dict[str, Any]", content)


def _content(text: str) -> object:
    loader = _Loader(text)
    root = loader.get_single_node()
    if root is None:
        return None
    _refuse_repeated_keys(root)
    return loader.construct_document(root)


def _refuse_repeated_keys(root: yaml.Node) -> None:
    """Compares keys as written, before ``<<`` merges others in: to override a merged key is what merging is for."""
    waiting, met = [root], set[int]()
    while waiting:
        node = waiting.pop()
        if id(node) in met:
            continue
        met.add(id(node))
        if isinstance(node, yaml.MappingNode):
            seen = set[tuple[str, str]]()
            for key, value in node.value:
                written = (key.tag, str(key.value))
                if written in seen:
                    raise yaml.constructor.ConstructorError(None, None, "a key appears twice", key.start_mark)
                seen.add(written)
                waiting.append(value)
        elif isinstance(node, yaml.SequenceNode):
            waiting.extend(node.value)
