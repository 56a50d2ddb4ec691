"""Says, at preview and at update, which changes restart the pods of a service and what users notice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi

from modelberth.rollout import Rollout
from modelberth.upgrade import group_changes


def told(name: str, service: str, rollout: Rollout) -> pulumi.ResourceHookBinding:
    """The hook for a workload with one pod template, or with those of a group: nothing is said where they stay as they
    are.
    """

    def before_update(args: pulumi.ResourceHookArgs) -> None:
        changes = list(group_changes(templates(args.old_inputs), templates(args.new_inputs)))
        for change in changes:
            pulumi.log.info(f"{service}: {change}")
        if changes:
            pulumi.log.info(f"{service}: pods restart: {rollout.why}")

    options = pulumi.ResourceHookOptions(on_dry_run=True, ignore_errors=True)
    return pulumi.ResourceHookBinding(before_update=[pulumi.ResourceHook(f"{name}-restarts", before_update, options)])


def templates(inputs: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    """The pod templates of a workload: of a Deployment one, of a LeaderWorkerSet those of leader and workers."""
    spec = (inputs or {}).get("spec") or {}
    group = spec.get("leaderWorkerTemplate") or {}
    found = (spec.get("template"), group.get("leaderTemplate"), group.get("workerTemplate"))
    return [each for each in found if each]
