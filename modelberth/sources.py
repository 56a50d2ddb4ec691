"""Resources from texts: rendered YAML, what Helm prints, lists of kubectl, states and previews of stacks."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

import yaml

from modelberth import marks, recorded
from modelberth.documents import DocumentError
from modelberth.manifests import KINDS
from modelberth.marks import Illegible, Spot
from modelberth.node import fields_of
from modelberth.resources import Resource

LARGEST_BYTES = 32 * 2**20
"""More than this in one file is refused before it is parsed."""
STANDARD_INPUT = "standard input"
TEMPLATE = "a template, not rendered yet"
RENDERED = "render it first: helm template CHART | modelberth check -"

_HELM = re.compile(r"\{\{-?\s*(?:\.(?:Values|Release|Chart|Capabilities|Files)\b|(?:include|template|toYaml)\s)")
_KUSTOMIZE = "kustomize.config.k8s.io/"


@dataclass(frozen=True)
class Problem:
    """Something that cannot be read: the whole of a file, or one document of it. Nothing of it is quoted."""

    place: str
    why: str
    spot: Spot | None = None
    remedy: str = ""
    template: bool = False

    def __str__(self) -> str:
        where = f"{self.place}:{self.spot.line}:{self.spot.column}" if self.spot else self.place
        return f"{where}: {self.why}" + (f"\n    way out: {self.remedy}" if self.remedy else "")


@dataclass(eq=False)
class Source:
    """What one file holds. ``other`` counts its documents that are no Kubernetes object; ``recorded`` is set when it is
    the state or the preview of a stack.
    """

    place: str
    text: str = field(repr=False, default="")
    resources: list[Resource] = field(default_factory=list[Resource])
    problems: list[Problem] = field(default_factory=list[Problem])
    other: int = 0
    recorded: bool = False
    _anchors: dict[Resource, tuple[yaml.Node | None, str]] = field(default_factory=dict[Resource, Any], repr=False)

    @property
    def legible(self) -> bool:
        """Whether anything of it can be judged, or is known to be nothing to judge."""
        return bool(self.resources or self.recorded or self.other)

    def spot(self, resource: Resource, path: str) -> Spot:
        """Line and column of a field of a resource."""
        root, prefix = self._anchors[resource]
        joint = "." if prefix and path and not path.startswith("[") else ""
        return marks.spot_of(root or self._json, f"{prefix}{joint}{path}")

    def add(self, resource: Resource, root: yaml.Node | None, prefix: str) -> None:
        """Take a resource that is written at ``prefix`` below ``root``; None: of the JSON text."""
        self.resources.append(resource)
        self._anchors[resource] = root, prefix

    def refuse(self, why: str, spot: Spot | None = None, remedy: str = "", *, template: bool = False) -> None:
        """Say that something in it cannot be read."""
        self.problems.append(Problem(self.place, why, spot, remedy, template))

    @cached_property
    def templated(self) -> bool:
        """Whether it has words that only Helm's templates have."""
        return bool(_HELM.search(self.text))

    @cached_property
    def _json(self) -> yaml.Node:
        return marks.of_json(self.text)


def decoded(content: bytes, place: str) -> Source:
    """A file as text, or with what keeps it from being one."""
    source = Source(place)
    if len(content) > LARGEST_BYTES:
        source.refuse(f"larger than {LARGEST_BYTES // 2**20} MiB", remedy="split it, or name the files that matter")
    elif content.startswith((b"\xff\xfe", b"\xfe\xff")):
        source.refuse("UTF-16 text", remedy="write it as UTF-8")
    elif b"\0" in content:
        source.refuse("holds a NUL byte: this is no text")
    else:
        try:
            source.text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            source.refuse("not UTF-8 text", remedy="write it as UTF-8")
    return source


def read(source: Source) -> Source:
    """Fill a source with what its text holds."""
    if source.problems:
        return source
    text = source.text
    if text.lstrip()[:1] in ("{", "[") and not text.lstrip().startswith("{{"):
        try:
            _read_json(source)
            return source
        except ValueError:  # flow style of YAML, or several objects one after the other
            pass
        except RecursionError:
            source.refuse("nested too deeply")
            return source
    try:
        for root, loader in marks.documents(text):
            _read_document(source, root, loader)
    except Illegible as error:
        if "{{" in text:
            source.refuse(TEMPLATE, error.spot, RENDERED, template=True)
        else:
            source.refuse(error.why, error.spot)
    return source


def resources(text: str, place: str) -> tuple[Resource, ...]:
    """The resources that a text holds. Raises :class:`~modelberth.documents.DocumentError` where it cannot be read."""
    source = read(Source(place, text))
    if source.problems:
        raise DocumentError(str(source.problems[0]))
    return tuple(source.resources)


def _read_json(source: Source) -> None:
    repeated: list[bool] = []

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        content = dict(found)
        if len(content) != len(found):
            repeated.append(True)
        return content

    document = json.loads(source.text, object_pairs_hook=pairs)
    before = len(source.resources)
    _take(source, document, None, "")
    if repeated and (source.recorded or len(source.resources) > before):
        source.resources.clear()
        try:
            marks.of_json(source.text)
        except Illegible as error:
            source.refuse(error.why, error.spot)


def _read_document(source: Source, root: yaml.Node, loader: Any) -> None:
    if not _ours(root):
        if marks.entry(root, "kind") and source.templated:
            source.refuse(TEMPLATE, marks.spot_of(root, "kind"), RENDERED, template=True)
        else:
            source.other += bool(root.value)
        return
    try:
        document = marks.value_of(root, loader)
    except Illegible as error:
        if source.templated:
            source.refuse(TEMPLATE, error.spot, RENDERED, template=True)
        else:
            source.refuse(error.why, error.spot)
        return
    _take(source, document, root, "")


def _ours(root: yaml.Node) -> bool:
    """Whether a document is worth making values of: an object, or what holds some."""
    if isinstance(root, yaml.SequenceNode):
        return any(marks.scalar(each, "kind") for each in marks.elements(root))
    held = ("deployment", "checkpoint", "steps", "changeSummary")
    return bool(marks.scalar(root, "kind")) or any(marks.entry(root, key) for key in held)


def _take(source: Source, document: Any, root: yaml.Node | None, prefix: str) -> None:
    """Take the resources of a document, or of a part of it."""
    content = fields_of(document)
    if not prefix:
        found = recorded.states(content)
        if found is not None:
            _take_recorded(source, content, found, root)
            return
    if isinstance(document, list):
        for index, each in enumerate(cast("list[Any]", document)):
            _take(source, each, root, f"{prefix}[{index}]")
        return
    kind, items = content.get("kind"), content.get("items")
    if isinstance(kind, str) and kind.endswith("List") and isinstance(items, list):
        joint = f"{prefix}.items" if prefix else "items"
        typed = {"apiVersion": content.get("apiVersion"), "kind": kind.removesuffix("List")} if kind != "List" else {}
        for index, each in enumerate(cast("list[Any]", items)):
            _take(source, {**typed, **fields_of(each)}, root, f"{joint}[{index}]")
    elif not isinstance(kind, str) or _is_configuration(content):
        source.other += 1
    elif not isinstance(content.get("apiVersion"), str):
        _refuse_versionless(source, kind, root, prefix)
    elif kind in KINDS and source.templated and _is_template(document):
        source.refuse(TEMPLATE, _spot(source, root, prefix), RENDERED, template=True)
    else:
        source.add(_object(cast("Mapping[str, Any]", content), source.place), root, prefix)


def _refuse_versionless(source: Source, kind: str, root: yaml.Node | None, prefix: str) -> None:
    if kind in KINDS:
        why = f"a {kind} without apiVersion is no Kubernetes object"
        source.refuse(why, _spot(source, root, prefix), "state its apiVersion")
    else:
        source.other += 1


def _spot(source: Source, root: yaml.Node | None, prefix: str) -> Spot:
    return marks.spot_of(root or marks.of_json(source.text), prefix)


def _is_configuration(content: Mapping[Any, Any]) -> bool:
    """Files of tools that look like objects: a kustomization, a kubeconfig."""
    version = content.get("apiVersion")
    return str(version).startswith(_KUSTOMIZE) or (content.get("kind") == "Config" and "clusters" in content)


def _is_template(value: Any) -> bool:
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str) and _HELM.search(each):
            return True
        if isinstance(each, Mapping):
            content = cast("Mapping[Any, Any]", each)
            waiting += [*content, *content.values()]
        elif isinstance(each, list):
            waiting += cast("list[Any]", each)
    return False


def _object(manifest: Mapping[str, Any], place: str) -> Resource:
    version, kind = manifest["apiVersion"], manifest["kind"]
    metadata = fields_of(manifest.get("metadata"))
    name = metadata.get("name") or metadata.get("generateName") or ""
    group = version if "/" in version else f"core/{version}"
    return Resource(f"kubernetes:{group}:{kind}", str(name), manifest, place=place, from_program=False)


def _take_recorded(
    source: Source, document: Mapping[Any, Any], found: list[recorded.State], root: yaml.Node | None
) -> None:
    source.recorded = True
    if recorded.failed(document):
        source.refuse(
            "this preview failed: what it shows is not complete",
            remedy="mend what its diagnostics say; a preview for this command needs no policy pack",
        )
    for where, state in found:
        source.add(recorded.resource(state, source.place), root, f"{where}.inputs")
