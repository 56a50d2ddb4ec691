"""What a cloud answers about an object: the inputs, and what it computes from them by the tables' templates."""

from __future__ import annotations

from typing import Any

from tests.providers import naming
from tests.providers.tables import Rules
from tests.providers.values import DEFAULTS, UNKNOWN

Context = dict[str, Any]


UNREADY = object()


def computed(
    token: str, inputs: dict[str, Any], types: dict[str, Any], rules: Rules, context: Context, salt: str = ""
) -> dict[str, Any]:
    """All outputs of a new object, its `id` among them; `context` is what templates know beside the inputs.

    Made-up parts follow from the inputs and `salt`. Where no template says what a cloud answers, the value is made up
    and looks it.
    """
    result = {key: value for key, value in inputs.items() if key != DEFAULTS}
    known = {**context, **{key: value for key, value in result.items() if isinstance(value, str | int | float)}}
    identity = naming.digest(token, salt, str(sorted(known.items(), key=str)))
    known |= {f"hash{n}": identity[:n] for n in (7, 8, 12, 16, 17, 20, 32, 40)}
    known |= {f"digits{n}": naming.digits(n, identity) for n in (10, 12, 18, 20, 21)}
    waiting = {"id": rules.id, **rules.outputs}
    while waiting:  # an output may need another, in whatever order they stand
        ready = {key: found for key, each in waiting.items() if (found := _expanded(each, known)) is not UNREADY}
        if not ready:
            raise KeyError(f"{token}: nothing says what these outputs need: {', '.join(waiting)}")
        for key, value in ready.items():
            result[key] = _merged(value, result.get(key))
            known[key] = result[key]
            del waiting[key]
    for key, type_ in types["outputs"].items():
        if key not in result and key not in types["inputs"]:
            result[key] = _zero(key, type_, identity)
    return {key: value for key, value in result.items() if value is not None}


def _merged(answer: Any, given: Any) -> Any:
    """What was given, with what the cloud answers beside it."""
    if isinstance(answer, dict) and isinstance(given, dict):
        return {key: _merged(answer.get(key), given.get(key)) for key in answer | given}
    return answer if given is None else given


def at_preview(inputs: dict[str, Any], types: dict[str, Any], rules: Rules) -> dict[str, Any]:
    """What is known of an object before it is made: its inputs; what only the cloud knows is unknown, also inside."""
    computed_only = types["outputs"].keys() - inputs.keys()
    result = {key: value for key, value in inputs.items() if key != DEFAULTS} | dict.fromkeys(computed_only, UNKNOWN)
    for path in rules.computed:
        outer, _, inner = path.partition(".")
        if isinstance(given := result.get(outer), dict) and inner and "." not in inner and "[" not in inner:
            result[outer] = {inner: UNKNOWN, **given}
    return result


def _expanded(template: Any, known: Context) -> Any:
    """A template with its names replaced; UNREADY while one of them is not known yet."""
    if isinstance(template, str):
        try:
            return template.format_map(known)
        except KeyError:
            return UNREADY
    if isinstance(template, list):
        items = [_expanded(each, known) for each in template]
        return UNREADY if any(each is UNREADY for each in items) else items
    if isinstance(template, dict):
        values = {key: _expanded(each, known) for key, each in template.items()}
        return UNREADY if any(each is UNREADY for each in values.values()) else values
    return template


def _zero(key: str, type_: Any, identity: str) -> Any:
    if type_ == "str":
        return f"stand-in-{key}-{naming.digest(identity, key)[:8]}"
    if isinstance(type_, dict):
        return [] if "list" in type_ else {} if "map" in type_ else None
    return {"int": 0, "float": 0, "bool": False}.get(type_)


def merged(old: Any, new: Any, rules: Rules, path: str) -> Any:
    """What an update makes of an output: the new input, with what the cloud computed inside the old one."""
    if isinstance(old, dict) and isinstance(new, dict):
        kept = {key: value for key, value in old.items() if key not in new and _computed_inside(rules, path, key)}
        return kept | {key: merged(old.get(key), value, rules, f"{path}.{key}") for key, value in new.items()}
    return new


def _computed_inside(rules: Rules, path: str, key: str) -> bool:
    template: Any = rules.outputs
    for step in [*path.split("."), key]:
        template = template.get(step) if isinstance(template, dict) else None
    return template is not None or f"{path}.{key}" in rules.computed or key == "effectiveTaints"
