"""What Pulumi shows a policy -> plain data. An unknown value becomes a marker and never hides its siblings.

Secrets arrive here in the clear and cannot be told from other values: nothing read here is ever printed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pulumi_policy import ResourceValidationArgs
from pulumi_policy.proxy import UnknownValueError

from modelberth.manifests import KINDS
from modelberth.observed import UNKNOWN

KUBERNETES = "kubernetes:"


def manifest(args: ResourceValidationArgs) -> dict[str, Any] | None:
    """The Kubernetes object of a resource, None when it is of no kind that can serve a model.

    The kind comes from the resource type, which is always known.
    """
    kind = args.resource_type.rpartition(":")[2]
    if not args.resource_type.startswith(KUBERNETES) or kind not in KINDS:
        return None
    return {**plain(args.props), "kind": kind}


def plain(value: Any) -> Any:
    """A property value as dictionaries, lists and scalars."""
    if isinstance(value, Mapping):
        return {str(key): _reached(lambda key=key: value[key]) for key in value}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_reached(lambda index=index: value[index]) for index in range(len(value))]
    return value


def _reached(read: Callable[[], Any]) -> Any:
    try:
        return plain(read())
    except UnknownValueError:
        return UNKNOWN
