"""Children and outputs of components, written one way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, get_type_hints

import pulumi

from modelberth.errors import ModelberthError

T = TypeVar("T")


def child(parent: pulumi.Resource, **options: Any) -> pulumi.ResourceOptions:
    """Options of a child: providers, protect and transforms come through ``parent``."""
    return pulumi.ResourceOptions(parent=parent, **options)


def register(component: pulumi.ComponentResource) -> None:
    """Register every annotated output of a component, once, from its annotations."""
    hints = get_type_hints(type(component))
    outputs = {name: getattr(component, name) for name, kind in hints.items() if "Output" in str(kind)}
    component.register_outputs(outputs)


def refused(work: Callable[[], T]) -> T:
    """Run pure work; a refusal becomes the engine's clean error: the message alone, no source, no trace."""
    try:
        return work()
    except ModelberthError as error:
        raise pulumi.RunError(str(error)) from None
