"""One value of a YAML file changed, and every other character left as it is, comments too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import yaml

from modelberth.errors import ModelberthError


class NotEditable(ModelberthError):
    """The place cannot be changed without writing the file anew; the message names it."""


def edited(text: str, path: Sequence[str], value: object) -> str:
    """The text with ``value`` at ``path``, a list of keys. What is missing on the way is added.

    A mapping is changed key by key where one is there already. Raises :class:`NotEditable`.
    """
    node, starts = yaml.compose(text, Loader=yaml.SafeLoader), 0
    for depth, step in enumerate(path):
        if not isinstance(node, yaml.MappingNode):
            raise NotEditable(f"{'.'.join(path[:depth])} is no mapping")
        entry = next((entry for entry in node.value if entry[0].value == step), None)
        if entry is None:
            for missing in reversed(path[depth + 1 :]):
                value = {missing: value}
            return _added(text, node, step, value)
        name, node = entry
        starts = text.index(":", name.end_mark.index) + 1
    if node is None:
        raise NotEditable("no key is named")
    if isinstance(value, Mapping) and isinstance(node, yaml.MappingNode):
        for key, inner in cast("Mapping[str, object]", value).items():
            text = edited(text, [*path, key], inner)
        return text
    return f"{text[:starts]} {_written(cast('object', value))}{text[_end(node) :]}"


def _added(text: str, node: yaml.MappingNode, key: str, value: object) -> str:
    entry = f"{key}: {_written(value)}"
    if not node.value:
        return text[: node.start_mark.index] + "{" + entry + "}" + text[node.end_mark.index :]
    first, last = node.value[0][0], node.value[-1][1]
    at = _end(last)
    if node.flow_style:
        return f"{text[:at]}, {entry}{text[at:]}"
    ends = text.find("\n", at)
    at = len(text) if ends < 0 else ends
    return f"{text[:at]}\n{' ' * first.start_mark.column}{entry}{text[at:]}"


def _end(node: yaml.Node) -> int:
    """Where a value ends: that of a block ends with its last line, before the comments that follow it."""
    if isinstance(node, yaml.MappingNode) and node.value and not node.flow_style:
        return _end(node.value[-1][1])
    if isinstance(node, yaml.SequenceNode) and node.value and not node.flow_style:
        return _end(node.value[-1])
    return node.end_mark.index


def _written(value: object) -> str:
    """On one line, as a person would write it."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**6)
    return text.removesuffix("...\n").strip()


__all__ = ["NotEditable", "edited"]
