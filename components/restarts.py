"""Says, at preview and at update, which changes restart the pods of a service and what users notice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi

from modelberth.rollout import Rollout
from modelberth.upgrade import pod_changes


def told(name: str, service: str, rollout: Rollout) -> pulumi.ResourceHookBinding:
    """The hook for a workload with one pod template, or with that of a group's leader: nothing is said where it stays
    as it is.
    """

    def before_update(args: pulumi.ResourceHookArgs) -> None:
        changes = list(pod_changes(_template(args.old_inputs), _template(args.new_inputs)))
        for change in changes:
            pulumi.log.info(f"{service}: {change}")
        if changes:
            pulumi.log.info(f"{service}: pods restart: {rollout.why}")

    options = pulumi.ResourceHookOptions(on_dry_run=True, ignore_errors=True)
    return pulumi.ResourceHookBinding(before_update=[pulumi.ResourceHook(f"{name}-restarts", before_update, options)])


def _template(inputs: Mapping[str, Any] | None) -> Mapping[str, Any]:
    spec = (inputs or {}).get("spec") or {}
    return spec.get("template") or (spec.get("leaderWorkerTemplate") or {}).get("leaderTemplate") or {}
