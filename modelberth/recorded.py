"""Resources as the engine records them: the exported state of a stack, and what ``pulumi preview --json`` prints."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

from modelberth.node import fields_of
from modelberth.observed import UNKNOWN
from modelberth.resources import Options, Resource
from modelberth.sigils import OPAQUE, SECRET, SIGNATURE, UNKNOWNS

_HIDDEN = "[secret]"
"""What a preview prints in place of a secret."""
State = tuple[str, Mapping[str, Any]]
"""Where a resource is recorded ("deployment.resources[3]"), and what of it."""


def states(document: Mapping[str, Any]) -> list[State] | None:
    """The resources that a document records, None for a document that is neither state nor preview."""
    deployment = fields_of(document.get("deployment"))
    latest = fields_of(fields_of(document.get("checkpoint")).get("latest"))
    if "resources" in deployment or ("manifest" in deployment and "version" in document):
        return list(_listed(deployment.get("resources"), "deployment.resources"))
    if "manifest" in latest:
        return list(_listed(latest.get("resources"), "checkpoint.latest.resources"))
    steps = document.get("steps")
    if isinstance(steps, list) and steps and all("urn" in fields_of(step) for step in cast("list[Any]", steps)):
        return _planned(cast("list[Any]", steps))
    return [] if "changeSummary" in document else None


def failed(document: Mapping[str, Any]) -> bool:
    """Whether it is a preview that broke off: what it shows is not all that would be there."""
    told = document.get("diagnostics")
    listed = cast("list[Any]", told) if "steps" in document and isinstance(told, list) else []
    return any(fields_of(each).get("severity") == "error" for each in listed)


def resource(state: Mapping[str, Any], place: str) -> Resource:
    """A recorded resource with its inputs."""
    urn = str(state.get("urn", ""))
    timeouts, dependencies = fields_of(state.get("customTimeouts")), fields_of(state.get("propertyDependencies"))
    options = Options(
        protect=bool(state.get("protect")),
        retain_on_delete=bool(state.get("retainOnDelete")),
        create_timeout_s=_seconds(timeouts.get("create")),
        update_timeout_s=_seconds(timeouts.get("update")),
        provider=str(state.get("provider", "")).rpartition("::")[0],
    )
    inputs = fields_of(_plain(state.get("inputs")))
    return Resource(
        type=str(state.get("type", "")),
        name=urn.rpartition("::")[2],
        properties={key: value for key, value in inputs.items() if not key.startswith("__")},
        urn=urn,
        options=options,
        parent=str(state.get("parent", "")),
        dependencies=_texts(state.get("dependencies")),
        property_dependencies={str(key): _texts(urns) for key, urns in dependencies.items()},
        place=place,
    )


def _listed(recorded: Any, where: str) -> Iterator[State]:
    for index, each in enumerate(cast("list[Any]", recorded) if isinstance(recorded, list) else []):
        state = fields_of(each)
        if state.get("type") and not state.get("delete"):
            yield f"{where}[{index}]", state


def _planned(steps: list[Any]) -> list[State]:
    """What will be there: the new state of the last step about each resource."""
    found: dict[str, State] = {}
    for index, each in enumerate(steps):
        step = fields_of(each)
        state = fields_of(step.get("newState"))
        if state.get("type") and not str(step.get("op", "")).startswith(("delete", "discard", "remove")):
            found[str(state.get("urn", index))] = (f"steps[{index}].newState", state)
    return list(found.values())


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(map(str, cast("list[Any]", value))) if isinstance(value, list) else ()


def _seconds(recorded: Any) -> float | None:
    """Zero means that the provider's default holds. The engine records seconds: resource/deploy/source_eval.go."""
    return float(recorded) if isinstance(recorded, int | float) and recorded else None


def _plain(value: Any) -> Any:
    """Inputs with secrets as their plain text, or as unknown where only their cipher is recorded."""
    if isinstance(value, Mapping):
        content = cast("Mapping[str, Any]", value)
        if SIGNATURE not in content:
            return {str(key): _plain(each) for key, each in content.items()}
        if content[SIGNATURE] in OPAQUE:
            return None
        return _revealed(content) if content[SIGNATURE] == SECRET else UNKNOWN
    if isinstance(value, list):
        return [_plain(each) for each in cast("list[Any]", value)]
    return UNKNOWN if isinstance(value, str) and (value == _HIDDEN or value in UNKNOWNS) else value


def _revealed(secret: Mapping[str, Any]) -> Any:
    plain = secret.get("plaintext")
    try:
        return _plain(json.loads(plain)) if isinstance(plain, str) else UNKNOWN
    except ValueError:
        return UNKNOWN
