"""The objects of a door: an Ingress, or routes and policies of the Gateway API and of whoever carries them out."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi
import pulumi_kubernetes as k8s

from modelberth.doors import Door, Manifest

from .options import child
from .targets.base import Target

SKIP_AWAIT = {"pulumi.com/skipAwait": "true"}
"""An address comes from a controller that is not ours, and not every one reports it: nothing waits for it."""


def open_door(
    name: str, parent: pulumi.Resource, target: Target, labels: Mapping[str, str], door: Door, service: pulumi.Resource
) -> list[pulumi.Resource]:
    """Create everything that a door consists of, after the Service that it leads to: policies before routes."""
    made: list[pulumi.Resource] = []
    for each in sorted(door.objects, key=lambda manifest: manifest.kind in ("HTTPRoute", "Ingress")):
        options = child(parent, provider=target.provider, depends_on=[service, *made])
        made.append(_object(f"{name}-{each.kind.lower()}", each, target, labels, options))
    return made


def _object(
    name: str, each: Manifest, target: Target, labels: Mapping[str, str], options: pulumi.ResourceOptions
) -> pulumi.Resource:
    ingress = each.kind == "Ingress"
    metadata = k8s.meta.v1.ObjectMetaArgs(
        name=each.name,
        namespace=target.namespace,
        labels=dict(labels),
        annotations=dict(each.annotations) | (SKIP_AWAIT if ingress else {}) or None,
    )
    if ingress:
        return k8s.networking.v1.Ingress(name, metadata=metadata, spec=dict(each.spec), opts=options)  # type: ignore[arg-type]
    return k8s.apiextensions.CustomResource(
        name, api_version=each.api_version, kind=each.kind, metadata=metadata, spec=dict(each.spec), opts=options
    )
