"""Helm releases: the provider makes their objects itself, so that no rule ever sees them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from modelberth.engines.base import image_parts
from modelberth.engines.images import published_as
from modelberth.findings import Finding, Level, Nature
from modelberth.node import Node
from modelberth.resources import HELM_RELEASE, Resource
from modelberth.rules.base import Check, Settings

_CHARTS = re.compile(
    r"vllm|sglang|ollama|tensorrt[-_]?llm|trtllm|triton|llama[-_.]?(cpp|server)|text-generation-inference|\btgi\b",
    re.IGNORECASE,
)
"""Names of engines as charts that serve models have them in their own."""
_DEEPEST = 20


def with_releases(check: Check) -> Check:
    """A check that also tells of releases."""

    def every(resource: Resource, settings: Settings) -> Iterator[Finding]:
        yield from hidden(resource)
        yield from check(resource, settings)

    return every


def hidden(resource: Resource) -> Iterator[Finding]:
    """Say of a release that serves a model, by its chart or by an image in its values, that nothing in it is judged."""
    if resource.type != HELM_RELEASE:
        return
    names = (resource.node["chart"], resource.node.at("repositoryOpts", "repo"))
    named = next((node for node in names if _CHARTS.search(node.text())), None)
    cause = named or next(_images(resource.node["values"], 0), None)
    if cause is not None:
        message = (
            "cannot decide anything about this model server because the provider makes the objects of a Helm release "
            "itself: no policy sees them"
        )
        remedy = "kubernetes:helm.sh/v4:Chart, whose objects are resources; or helm template ... | modelberth check -"
        yield Finding("SZ-21", cause.path, message, remedy, Level.WARNING, Nature.UNDECIDED)


def _images(node: Node, depth: int) -> Iterator[Node]:
    """Values that name the image of an engine, with its registry and tag or without."""
    if depth > _DEEPEST:
        return
    if "/" in node.text() and published_as(image_parts(node.text())[0]):
        yield node
    for inner in (*node.elements(), *(each for _, each in node.items())):
        yield from _images(inner, depth + 1)
