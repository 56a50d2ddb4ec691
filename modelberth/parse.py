"""From what a person wrote to a :class:`StackSpec`, or to all problems at once."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin

from pydantic import BaseModel, ValidationError

from modelberth.credential_shapes import hidden
from modelberth.fields import Misfit
from modelberth.findings import Finding, Refused
from modelberth.not_yet import NOT_YET
from modelberth.parts import Part, SecretRef
from modelberth.spec import ServiceSpec, StackSpec

PREFIX = "modelberth:"
LONGEST_CHOICE = 24
"""Characters of a mistaken choice that are quoted back: hub tokens and API keys are longer."""
P = TypeVar("P", bound=Part)


def stack(document: object, where: str = "") -> StackSpec:
    """The five keys of a stack file (with or without the ``modelberth:`` prefix).

    Raises :class:`Refused` with every problem of every part.
    """
    return _validated(StackSpec, without_prefix(document), where)


def stack_file(document: object) -> StackSpec:
    """A stack that is to be created: like :func:`stack`, and what its cluster's nodes are must be said."""
    found = stack(document)
    if found.target.kind == "existing" and not found.pools:
        message = "is required on a cluster that exists: say what its nodes are"
        out = "NAME: {accelerators: [...], machine_types: [...], max_nodes: N}"
        raise Refused([Finding("pool", "pools", message, out)])
    return found


def service(document: object, name: str = "") -> ServiceSpec:
    """One service. Raises :class:`Refused` with every problem."""
    return _validated(ServiceSpec, document, f"services.{name}" if name else "")


def part(kind: type[P], document: object, where: str) -> P:
    """One part of the schema, named ``where`` in messages. Raises :class:`Refused` with every problem."""
    return _validated(kind, document, where)


def is_stack(document: object) -> bool:
    """Whether a document is a stack file (or its config), rather than one bare service."""
    if not isinstance(document, Mapping):
        return False
    keys = {str(key) for key in cast("Mapping[object, object]", document)}
    return "config" in keys or any(key.startswith(PREFIX) for key in keys) or bool(keys & {"services", "target"})


def without_prefix(document: object) -> object:
    """The settings of this package by their bare keys, from a stack file, its config, or such keys themselves."""
    if not isinstance(document, Mapping):
        return document
    whole = cast("Mapping[object, object]", document)
    config = whole.get("config", whole)
    if not isinstance(config, Mapping):
        return config
    settings = cast("Mapping[object, object]", config)
    ours = {str(key) for key in settings if str(key).startswith(PREFIX)}
    return {key.removeprefix(PREFIX): settings[key] for key in sorted(ours)} if ours else settings


def _validated(kind: type[P], document: object, where: str) -> P:
    if not isinstance(document, Mapping):
        raise Refused([Finding("spec", where, f"must be a mapping, not {_kind_of(document)}")])
    try:
        value = kind.model_validate(document)
    except ValidationError as error:
        raise Refused(_findings(kind, error, where)) from None
    except RecursionError:
        raise Refused([Finding("spec", where, "is nested too deeply")]) from None
    refused = list(_not_yet(value, where))
    if refused:
        raise Refused(refused)
    return value


def _findings(kind: type[Part], error: ValidationError, where: str) -> list[Finding]:
    found: dict[tuple[str, str], Finding] = {}
    for item in error.errors(include_url=False):
        loc = item["loc"]
        if _part_at(kind, loc[:-1]) is SecretRef and not _is_output(item["input"]):
            finding = _about_secret(where, loc, item)
        else:
            finding = _lifted(kind, loc, Finding("spec", _path(where, loc), *_explain(kind, loc, item)))
        found.setdefault((finding.path, finding.message), finding)
    return [each for each in found.values() if not _follows(each, found.values())]


def _lifted(kind: type[Part], loc: tuple[int | str, ...], finding: Finding) -> Finding:
    """A problem of a whole part that begins with the name of a field, at that field."""
    field, colon, message = finding.message.partition(": ")
    part = _part_at(kind, loc)
    if not colon or part is None or field.partition(".")[0] not in part.model_fields:
        return finding
    return Finding(finding.code, f"{finding.path}.{field}".lstrip("."), message, finding.remedy)


def _follows(finding: Finding, every: Iterable[Finding]) -> bool:
    """Whether a list is only called empty because each of its elements is wrong."""
    inside = f"{finding.path}["
    return finding.message == "must not be empty" and any(other.path.startswith(inside) for other in every)


def _about_secret(where: str, loc: tuple[int | str, ...], item: Any) -> Finding:
    """A problem inside a reference to a Secret: whatever was written may be the secret, so none of it is shown."""
    out = "{secret: NAME, key: KEY}: the name of a Kubernetes Secret and a key inside it"
    if item["type"] == "missing":
        return Finding("spec", _path(where, loc), "is required", out)
    if loc[-1] in SecretRef.model_fields and item["type"] != "extra_forbidden":
        return Finding("spec", _path(where, loc), "is not the name of a Secret or of a key inside it", out)
    return Finding("spec", _path(where, loc[:-1]), "holds an unknown key, not shown", out)


def _explain(kind: type[Part], loc: tuple[int | str, ...], item: Any) -> tuple[str, str]:
    """(message, way out) for one pydantic error; never holds the offending value of a free-text field."""
    value, context = item["input"], item.get("ctx", {})
    if _is_output(value):
        return (
            "is an Output, known only after something is created; what shapes the plan must be a plain value",
            "pass the value itself, from config or from a StackReference read beforehand",
        )
    match item["type"]:
        case "extra_forbidden":
            return _unknown_key(kind, loc)
        case "missing":
            field = _part_at(kind, loc[:-1])
            described = field.model_fields[str(loc[-1])].description if field else None
            return "is required", described or ""
        case "value_error":
            message = str(context.get("error", item["msg"]))
            if isinstance(context.get("error"), Misfit):
                return message, context["error"].remedy
            out = "write a plain number, such as 8192" if message.startswith("must be a number, not") else ""
            return message, out
        case "enum" | "literal_error":
            return _unknown_choice(kind, loc, value)
        case "greater_than_equal":
            return f"must be at least {context['ge']}", ""
        case "greater_than":
            return f"must be more than {context['gt']}", ""
        case "less_than_equal":
            out = "0.90 means 90 percent" if context["le"] == 0.97 else ""
            return f"must be at most {context['le']}", out
        case "string_type":
            out = "write it in quotes" if isinstance(value, int | float) else ""
            return f"must be text, not {_kind_of(value)}", out
        case "model_type" | "model_attributes_type" | "dict_type":
            return f"must be a mapping, not {_kind_of(value)}", ""
        case "tuple_type":
            return f"must be a list, not {_kind_of(value)}", ""
        case "int_type" | "float_type" if isinstance(value, int):
            return "is too large", ""
        case "int_type" | "float_type":
            return f"must be a number, not {_kind_of(value)}", "write a plain number, such as 8192"
        case "too_short" | "string_too_short":
            return "must not be empty", ""
        case "invalid_key":
            return "is a key that is not text", ""
        case _:
            return str(item["msg"]), ""


def _unknown_key(kind: type[Part], loc: tuple[int | str, ...]) -> tuple[str, str]:
    part = _part_at(kind, loc[:-1])
    known = sorted(part.model_fields) if part else []
    near = difflib.get_close_matches(str(loc[-1]), known, n=1)
    message = "unknown key" + (f"; did you mean {near[0]!r}?" if near else "")
    return message, f"keys here: {', '.join(known)}"


def _unknown_choice(kind: type[Part], loc: tuple[int | str, ...], value: object) -> tuple[str, str]:
    part = _part_at(kind, loc[:-1]) or _part_at(kind, loc[:-2])
    field = part.model_fields.get(str(loc[-1])) if part else None
    choices = list(_choices(field.annotation)) if field else list(_all_choices(kind, loc))
    shown = f"{value!r} " if isinstance(value, str) and len(value) <= LONGEST_CHOICE else ""
    near = difflib.get_close_matches(str(value), choices, n=1)
    message = f"{shown}is not one of the choices" + (f"; did you mean {near[0]!r}?" if near else "")
    return message, f"one of: {', '.join(choices)}" if choices else ""


def _all_choices(kind: type[Part], loc: tuple[int | str, ...]) -> Iterator[str]:
    for end in range(len(loc) - 1, 0, -1):
        part = _part_at(kind, loc[: end - 1])
        if part and str(loc[end - 1]) in part.model_fields:
            yield from _choices(part.model_fields[str(loc[end - 1])].annotation)
            return


def _choices(annotation: Any) -> Iterator[str]:
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        yield from (str(member.value) for member in annotation)
    elif get_origin(annotation) is Literal:
        yield from (str(choice) for choice in get_args(annotation))
    else:
        for inner in get_args(annotation):
            yield from _choices(inner)


def _part_at(kind: type[Part], loc: tuple[int | str, ...]) -> type[Part] | None:
    """The schema class that describes the place ``loc``."""
    current: type[Part] | None = kind
    container = False
    for step in loc:
        if current is None:
            return None
        if container:
            container = False
            continue
        field = current.model_fields.get(str(step))
        if field is None:
            return None
        current, container = _part_in(field.annotation)
    return current


def _part_in(annotation: Any) -> tuple[type[Part] | None, bool]:
    """(the Part inside an annotation, whether it sits in a list or mapping)."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation if issubclass(annotation, Part) else None, False
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType, Annotated):
        for inner in get_args(annotation):
            part, container = _part_in(inner)
            if part:
                return part, container
    if origin in (tuple, dict, list):
        for inner in get_args(annotation):
            part, _ = _part_in(inner)
            if part:
                return part, True
    return None, False


def _not_yet(value: object, where: str) -> Iterator[Finding]:
    """Findings for every field of the frozen schema that is set although nothing implements it."""
    if isinstance(value, Part):
        waiting = NOT_YET.get(type(value), frozenset())
        for name in sorted(value.model_fields_set):
            path, inner = _path(where, (name,)), getattr(value, name)
            if name in waiting and inner not in (None, ()):
                yield Finding("not-yet", path, "is not supported yet", "leave it out")
            else:
                yield from _not_yet(inner, path)
    elif isinstance(value, Mapping):
        for key, inner in cast("Mapping[object, object]", value).items():
            yield from _not_yet(inner, _path(where, (str(key),)))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for index, inner in enumerate(cast("Sequence[object]", value)):
            yield from _not_yet(inner, _path(where, (index,)))


def _path(where: str, loc: tuple[int | str, ...]) -> str:
    path = where
    for step in loc:
        if step == "[key]":
            continue
        if isinstance(step, int):
            path += f"[{step}]"
        else:
            path += f".{_shown(step)}" if path else _shown(step)
    return path


def _shown(key: str) -> str:
    """A key as it may be printed: short, without control characters, no credential."""
    key = hidden(key)
    text = key if key.isprintable() else repr(key)[1:-1]
    return text if len(text) <= 60 else f"{text[:57]}..."


def _is_output(value: object) -> bool:
    return type(value).__name__ == "Output" and type(value).__module__.startswith("pulumi")


def _kind_of(value: object) -> str:
    names: dict[type, str] = {dict: "a mapping", list: "a list", tuple: "a list", str: "text", bool: "a boolean"}
    if value is None:
        return "nothing"
    return names.get(type(value), "a number" if isinstance(value, int | float) else type(value).__name__)
