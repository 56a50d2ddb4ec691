"""Children and outputs of components, written one way."""

from __future__ import annotations

from collections.abc import Callable
from inspect import get_annotations
from typing import Any, TypeVar

import pulumi

from modelberth.errors import ModelberthError

T = TypeVar("T")


def child(parent: pulumi.Resource, **options: Any) -> pulumi.ResourceOptions:
    """Options of a child: providers, protect and transforms come through ``parent``."""
    return pulumi.ResourceOptions(parent=parent, **options)


def register(component: pulumi.ComponentResource) -> None:
    """Register every annotated output of a component, once, from its annotations."""
    annotated = [kind for kind in type(component).__mro__ if kind.__module__.startswith(__package__ or "modelberth")]
    names = [name for kind in annotated for name, hint in get_annotations(kind).items() if "Output" in str(hint)]
    component.register_outputs({name: getattr(component, name) for name in names})


def refused(work: Callable[[], T]) -> T:
    """Run pure work; a refusal becomes the engine's clean error: the message alone, no source, no trace."""
    try:
        return work()
    except ModelberthError as error:
        raise pulumi.RunError(str(error)) from None
