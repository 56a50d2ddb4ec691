"""What the engine and the program know after an update that was cut off: read from what Pulumi prints."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from modelberth.clouds.live import CLUSTER
from modelberth.errors import ModelberthError
from modelberth.node import fields_of
from modelberth.sigils import UNKNOWNS

_AUTONAMED = "pulumi.com/autonamed"
_DEFAULTS = "__defaults"


@dataclass(frozen=True)
class Recorded:
    """A resource as the engine knows it, or as the program wants it. ``known`` are the texts that templates hold."""

    urn: str
    type: str
    id: str
    parent: str
    provider: str
    known: Mapping[str, str] = field(repr=False)
    made_up: bool
    """Whether the provider made its name up, so that the next attempt has another one."""
    names: frozenset[str] = field(repr=False)
    """What others may call it: its id, link and name."""

    @property
    def logical(self) -> str:
        """The name in the program."""
        return self.urn.rpartition("::")[2]


@dataclass(frozen=True)
class Left:
    """What is known after the cut: what the state holds, what was under way, and what the program still wants."""

    project: str
    stack: str
    held: tuple[Recorded, ...]
    pending: tuple[Recorded, ...]
    wanted: tuple[Recorded, ...]


def left(state: str, preview: str) -> Left:
    """Read what ``pulumi stack export`` and ``pulumi preview --json`` print, before anything is refreshed.

    Raises :class:`ModelberthError` for a text that is not what it should be.
    """
    deployment = _deployment(state)
    providers = dict(_providers(deployment))
    held = tuple(_recorded(each, providers) for each in _custom(deployment.get("resources")))
    begun = [fields_of(each) for each in elements(deployment.get("pending_operations"))]
    pending = [fields_of(each.get("resource")) for each in begun if each.get("type") == "creating"]
    steps = [fields_of(each) for each in elements(_json(preview, "preview").get("steps"))]
    creating = [fields_of(each.get("newState")) for each in steps if each.get("op") == "create"]
    urns = [str(fields_of(each).get("urn", "")) for each in elements(deployment.get("resources"))]
    if not urns:
        raise ModelberthError("the export holds no resource: nothing was begun, so nothing is left")
    there = {each.urn for each in held}
    wanted = tuple(_recorded(each, providers) for each in _custom(creating))
    return Left(
        project=urns[0].split("::")[1],
        stack=urns[0].split("::")[0].rpartition(":")[2],
        held=held,
        pending=tuple(_recorded(each, providers) for each in _custom(pending)),
        wanted=tuple(each for each in wanted if each.urn not in there),
    )


def _json(text: str, name: str) -> Mapping[str, Any]:
    try:
        return fields_of(json.loads(text))
    except ValueError:
        raise ModelberthError(f"the {name} is not JSON") from None


def _deployment(text: str) -> Mapping[str, Any]:
    document = _json(text, "export")
    if "deployment" not in document:
        raise ModelberthError("the export is not what `pulumi stack export` prints")
    return fields_of(document["deployment"])


def elements(value: Any) -> list[Any]:
    """A list as it is, anything else as an empty one."""
    return cast("list[Any]", value) if isinstance(value, list) else []


def _custom(values: Any) -> Iterator[Mapping[str, Any]]:
    """Resources that somebody made: no components, no providers, nothing that is only read."""
    for each in map(fields_of, elements(values)):
        if each.get("custom") and not str(each.get("type")).startswith("pulumi:") and not each.get("external"):
            yield each


def _providers(deployment: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, str]]]:
    for each in map(fields_of, elements(deployment.get("resources"))):
        if str(each.get("type")).startswith("pulumi:providers:"):
            yield f"{each.get('urn')}::{each.get('id')}", _texts(each.get("inputs"))


def _texts(values: Any) -> dict[str, str]:
    return {key: value for key, value in fields_of(values).items() if isinstance(value, str) and value not in UNKNOWNS}


def metadata_of(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    """The metadata of an object of a cluster; of anything else, nothing."""
    return fields_of(manifest.get("metadata"))


def _object(inputs: Mapping[str, Any]) -> tuple[dict[str, str], bool]:
    """What templates hold of an object of a cluster, and whether its name is made up."""
    metadata = metadata_of(inputs)
    group, _, version = str(inputs.get("apiVersion", "")).rpartition("/")
    kind = str(inputs.get("kind", "")).lower()
    known = _texts({key: metadata.get(key) for key in ("name", "namespace")})
    made_up = str(fields_of(metadata.get("annotations")).get(_AUTONAMED)) == "true"
    return known | {"kind": f"{kind}.{version}.{group}" if group else kind}, made_up


def _recorded(state: Mapping[str, Any], providers: Mapping[str, Mapping[str, str]]) -> Recorded:
    inputs, outputs = fields_of(state.get("inputs")), fields_of(state.get("outputs"))
    provider = str(state.get("provider", ""))
    id_ = str(state.get("id", ""))
    called = (id_, outputs.get("selfLink"), outputs.get("name"), metadata_of(outputs).get("uid"))
    if str(state.get("type")).startswith(CLUSTER):
        known, made_up = _object(inputs)
    else:
        known, made_up = _texts(inputs), "name" in elements(inputs.get(_DEFAULTS))
    return Recorded(
        urn=str(state.get("urn", "")),
        type=str(state.get("type", "")),
        id=id_,
        parent=str(state.get("parent", "")),
        provider=provider,
        known={**providers.get(provider, {}), **known},
        made_up=made_up,
        names=frozenset(each for each in called if isinstance(each, str) and each),
    )
