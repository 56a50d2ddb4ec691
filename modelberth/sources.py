"""Resources from files: rendered YAML, what Helm prints, lists of kubectl, and the exported state of a stack."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

import yaml

from modelberth.documents import DocumentError
from modelberth.node import fields_of
from modelberth.observed import UNKNOWN
from modelberth.resources import Options, Resource

_Loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SIGNATURE = "4dabf18193072939515e22adb298388d"
"""The key that marks a secret in a stack's state; without its plain text it is as good as unknown."""


def resources(text: str, place: str) -> tuple[Resource, ...]:
    """The resources that a file holds. Raises :class:`~modelberth.documents.DocumentError` where it is no YAML."""
    try:
        documents = list(yaml.load_all(text, Loader=_Loader))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise DocumentError(f"{place}{line}: not valid YAML") from None
    return tuple(each for document in documents for each in _of(document, place))


def _of(document: Any, place: str) -> Iterator[Resource]:
    content = fields_of(document)
    deployment = fields_of(content.get("deployment"))
    if "resources" in deployment:
        yield from _state(deployment["resources"], place)
    elif str(content.get("kind", "")).endswith("List") and isinstance(content.get("items"), list):
        for item in content["items"]:
            yield from _of(item, place)
    elif isinstance(content.get("kind"), str) and isinstance(content.get("apiVersion"), str):
        yield _object(cast("Mapping[str, Any]", content), place)


def _object(manifest: Mapping[str, Any], place: str) -> Resource:
    version, kind = manifest["apiVersion"], manifest["kind"]
    metadata = fields_of(manifest.get("metadata"))
    name = metadata.get("name") or metadata.get("generateName") or ""
    group = version if "/" in version else f"core/{version}"
    return Resource(f"kubernetes:{group}:{kind}", str(name), manifest, place=place, from_program=False)


def _state(recorded: Any, place: str) -> Iterator[Resource]:
    for each in cast("list[Any]", recorded) if isinstance(recorded, list) else ():
        state = fields_of(each)
        urn, type_ = str(state.get("urn", "")), str(state.get("type", ""))
        if not type_ or state.get("delete"):
            continue
        options = Options(
            protect=bool(state.get("protect")),
            retain_on_delete=bool(state.get("retainOnDelete")),
            create_timeout_s=_seconds(state, "create"),
            update_timeout_s=_seconds(state, "update"),
            provider=str(state.get("provider", "")).rpartition("::")[0],
        )
        dependencies = fields_of(state.get("propertyDependencies"))
        yield Resource(
            type=type_,
            name=urn.rpartition("::")[2],
            properties=fields_of(_plain(state.get("inputs"))),
            urn=urn,
            options=options,
            parent=str(state.get("parent", "")),
            dependencies=tuple(map(str, state.get("dependencies") or ())),
            property_dependencies={str(k): tuple(map(str, v or ())) for k, v in dependencies.items()},
            place=place,
        )


def _seconds(state: Mapping[Any, Any], what: str) -> float | None:
    """Custom timeouts are recorded in nanoseconds."""
    recorded = fields_of(state.get("customTimeouts")).get(what)
    return recorded / 1e9 if isinstance(recorded, int | float) and recorded else None


def _plain(value: Any) -> Any:
    """Inputs with secrets as their plain text, or as unknown where the state holds only their cipher."""
    if isinstance(value, Mapping):
        content = cast("Mapping[str, Any]", value)
        if _SIGNATURE not in content:
            return {str(key): _plain(each) for key, each in content.items()}
        return _plain(json.loads(content["plaintext"])) if "plaintext" in content else UNKNOWN
    return [_plain(each) for each in cast("list[Any]", value)] if isinstance(value, list) else value
