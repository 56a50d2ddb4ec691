"""Objects whose controllers make pods in a way that nothing here reads: they are counted, never passed over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, cast

from modelberth.manifests import KINDS
from modelberth.resources import Resource

_SERVE = frozenset(
    {
        ("apps.nvidia.com", "NIMService"),
        ("kaito.sh", "Workspace"),
        ("production-stack.vllm.ai", "VLLMRuntime"),
        ("serving.kserve.io", "InferenceService"),
        ("serving.kserve.io", "LLMInferenceService"),
    }
)
"""(API group, kind) of custom resources that serve models and need not state a container."""


def unjudged(resources: Iterable[Resource]) -> dict[str, int]:
    """Kinds of custom resources that make pods of their own, each with how many there are, by name."""
    found = Counter(each.kind for each in resources if _makes_pods(each))
    return dict(sorted(found.items()))


def _makes_pods(resource: Resource) -> bool:
    group = resource.group
    custom = "." in group and not group.endswith(".k8s.io") and resource.kind not in KINDS
    return custom and ((group, resource.kind) in _SERVE or _states_containers(resource.properties))


def _states_containers(value: Any) -> bool:
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, Mapping):
            content = cast("Mapping[Any, Any]", each)
            if any(_is_container(inner) for inner in _items(content.get("containers"))):
                return True
            waiting += content.values()
        else:
            waiting += _items(each)
    return False


def _items(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


def _is_container(value: Any) -> bool:
    return isinstance(value, Mapping) and "image" in value
