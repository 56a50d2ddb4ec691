"""What a cloud answers about an object: the inputs, and what it computes from them by the tables' templates."""

from __future__ import annotations

import string
from typing import Any

from tests.providers import naming
from tests.providers.tables import Rules
from tests.providers.values import DEFAULTS, UNKNOWN, contains_unknown

Context = dict[str, Any]


class _Formatter(string.Formatter):
    """Templates with `{hash8:WORDS}` and `{digits12:WORDS}` beside the names of values."""

    def get_value(self, key: int | str, args: Any, kwargs: Any) -> Any:
        if key not in kwargs:
            raise KeyError(key)
        return kwargs[key]


FORMATTER = _Formatter()


def computed(
    token: str, inputs: dict[str, Any], types: dict[str, Any], rules: Rules, context: Context
) -> dict[str, Any]:
    """All outputs of a new object, its `id` among them; `context` is what templates know beside the inputs.

    Where no template says what a cloud answers, the value is made up and looks it.
    """
    result = {key: value for key, value in inputs.items() if key != DEFAULTS}
    known = {**context, **{key: value for key, value in result.items() if isinstance(value, str | int | float)}}
    identity = naming.digest(token, context.get("unique", ""), str(sorted(known.items(), key=str)))
    known |= {f"hash{n}": identity[:n] for n in (7, 8, 12, 16, 17, 20, 32, 40)}
    known |= {f"digits{n}": naming.digits(n, identity) for n in (10, 12, 18, 20, 21)}
    for key, template in rules.outputs.items():
        if key not in result:
            result[key] = _expanded(template, known)
            if isinstance(result[key], str | int):
                known[key] = result[key]
    result["id"] = _expanded(rules.id, known)
    known["id"] = result["id"]
    for key, template in rules.outputs.items():  # those that need the id
        if result.get(key) is None:
            result[key] = _expanded(template, known)
    for key, type_ in types["outputs"].items():
        if result.get(key) is None and key not in types["inputs"]:
            result[key] = _zero(key, type_, identity)
    return {key: value for key, value in result.items() if value is not None}


def at_preview(inputs: dict[str, Any], types: dict[str, Any]) -> dict[str, Any]:
    """What is known of an object before it is made: its inputs; what only the cloud knows is unknown."""
    computed_only = (types["outputs"].keys() - inputs.keys()) | {"id"}
    return {key: value for key, value in inputs.items() if key != DEFAULTS} | dict.fromkeys(computed_only, UNKNOWN)


def _expanded(template: Any, known: Context) -> Any:
    if isinstance(template, str):
        if template.startswith("=") and template[1:] in known:
            return known[template[1:]]
        try:
            return FORMATTER.vformat(template, (), known)
        except KeyError:
            return None
    if isinstance(template, list):
        return [_expanded(each, known) for each in template]
    if isinstance(template, dict):
        return {key: _expanded(each, known) for key, each in template.items()}
    return template


def _zero(key: str, type_: Any, identity: str) -> Any:
    if type_ == "str":
        return f"stand-in-{key}-{naming.digest(identity, key)[:8]}"
    if isinstance(type_, dict):
        return [] if "list" in type_ else {} if "map" in type_ else None
    return {"int": 0, "float": 0, "bool": False}.get(type_)


def settled(value: Any) -> bool:
    """Whether nothing in a value is unknown."""
    return not contains_unknown(value)
