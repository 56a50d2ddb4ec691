"""The pods of one service, and what keeps them running: a Deployment, or a LeaderWorkerSet where several nodes share a
copy of the model. The pod template is written once for both.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import pulumi
import pulumi_kubernetes as k8s

from modelberth.decision import SIZING_ANNOTATION, digest
from modelberth.engines import Group, SecretEnv, lifecycle
from modelberth.host import GATE_HOST
from modelberth.plan import Plan

from . import pods, restarts
from .mounted import Mounted
from .options import child
from .targets.base import Placed, Target

AWAIT_MARGIN_S = 300
"""Beyond the start-up budget: scheduling, node start and the awaiter's own polling."""

API, LWS = "leaderworkerset.x-k8s.io/v1", "leaderworkerset.sigs.k8s.io"
LEADER = {f"{LWS}/worker-index": "0"}
"""Label of the pod of a group that takes the requests."""
GROUP_KEY, REVISION = f"{LWS}/group-key", f"{LWS}/template-revision-hash"

core, meta = k8s.core.v1, k8s.meta.v1
Served = k8s.apps.v1.Deployment | k8s.apiextensions.CustomResource


@dataclass(frozen=True)
class Pods:
    """Everything that shapes the pods of a service beside its plan."""

    name: str
    plan: Plan
    target: Target
    placed: Placed
    account: pulumi.Input[str]
    labels: Mapping[str, str]
    selector: Mapping[str, str]
    weights: Mounted
    settings: pulumi.Input[str] | None

    @property
    def serving(self) -> Mapping[str, str]:
        """Labels of the pods that take requests."""
        return {**self.selector, **LEADER} if self.plan.launch.group else self.selector

    @property
    def await_s(self) -> str:
        """How long the engine waits for all replicas."""
        return f"{self.replica_s * self.plan.spec.most_replicas + AWAIT_MARGIN_S}s"

    @property
    def replica_s(self) -> int:
        """How long one replica may take: its place may be free only when another pod has left it."""
        return self.plan.launch.grace_s + self.plan.decision.startup_budget_s

    @property
    def replicas(self) -> int:
        """Copies to start with: one where none is asked for, to see that it starts before it may sleep."""
        return max(1, self.plan.spec.fewest_replicas)

    @property
    def annotations(self) -> dict[str, str]:
        """What was sized, on the workload."""
        return {SIZING_ANNOTATION: sizing_record(self.plan)}


def serve(of: Pods, parent: pulumi.Resource, after: Sequence[pulumi.Resource]) -> Served:
    """The workload of a plan, created after ``after``."""
    opts = child(
        parent,
        provider=of.target.provider,
        depends_on=list(after),
        ignore_changes=["spec.replicas"] if of.plan.scaling else None,  # the autoscaler's, once it is there
        hooks=restarts.told(f"{of.name}-server", of.plan.service, of.plan.rollout),
        custom_timeouts=pulumi.CustomTimeouts(create=of.await_s, update=of.await_s),
    )
    group = of.plan.launch.group
    return _groups(of, group, opts) if group else _deployment(of, opts)


def reference(of: Pods, server: Served) -> dict[str, pulumi.Input[str]]:
    """apiVersion, kind and name of the workload, which has the ``scale`` subresource."""
    version, kind = (API, "LeaderWorkerSet") if of.plan.launch.group else ("apps/v1", "Deployment")
    return {"apiVersion": version, "kind": kind, "name": cast("Any", server).metadata["name"]}


def _deployment(of: Pods, opts: pulumi.ResourceOptions) -> k8s.apps.v1.Deployment:
    rollout = of.plan.rollout
    return k8s.apps.v1.Deployment(
        f"{of.name}-server",
        metadata=_meta(of, of.annotations),
        spec=k8s.apps.v1.DeploymentSpecArgs(
            replicas=of.replicas,
            progress_deadline_seconds=of.replica_s + AWAIT_MARGIN_S // 2,
            revision_history_limit=3,
            selector=meta.LabelSelectorArgs(match_labels=dict(of.selector)),
            strategy=k8s.apps.v1.DeploymentStrategyArgs(
                type="RollingUpdate",
                rolling_update=k8s.apps.v1.RollingUpdateDeploymentArgs(
                    max_surge=rollout.max_surge, max_unavailable=rollout.max_unavailable
                ),
            ),
            template=_template(of, _server(of), pods.spread(of.plan.spec, of.selector)),
        ),
        opts=opts,
    )


def _groups(of: Pods, group: Group, opts: pulumi.ResourceOptions) -> k8s.apiextensions.CustomResource:
    """Groups of pods that start, restart and roll together: one pod for each node that shares a copy.

    A worker that outlived its leader would never serve again, so any restart recreates the group. The controller makes
    the headless service that workers find their leader by.
    """
    rollout = of.plan.rollout
    leaders = pods.spread(of.plan.spec, of.serving, by=REVISION)
    spec: dict[str, Any] = {
        "replicas": of.replicas,
        "startupPolicy": "LeaderCreated",
        "networkConfig": {"subdomainPolicy": "Shared"},
        "rolloutStrategy": {
            "type": "RollingUpdate",
            "rollingUpdateConfiguration": {
                "partition": 0,
                "maxSurge": rollout.max_surge,
                "maxUnavailable": rollout.max_unavailable,
            },
        },
        "leaderWorkerTemplate": {
            "size": group.size,
            "restartPolicy": "RecreateGroupOnPodRestart",
            "leaderTemplate": _template(of, _server(of), leaders),
            "workerTemplate": _template(of, _worker(of, group), []),
        },
    }
    return k8s.apiextensions.CustomResource(
        f"{of.name}-server",
        api_version=API,
        kind="LeaderWorkerSet",
        metadata=_meta(of, {**of.annotations, "pulumi.com/waitFor": "condition=Available"}),
        spec=spec,
        opts=opts,
    )


def _meta(of: Pods, annotations: dict[str, str]) -> k8s.meta.v1.ObjectMetaArgs:
    return meta.ObjectMetaArgs(namespace=of.target.namespace, labels=dict(of.labels), annotations=annotations)


def _template(
    of: Pods,
    container: k8s.core.v1.ContainerArgs,
    spread: Sequence[k8s.core.v1.TopologySpreadConstraintArgs],
) -> k8s.core.v1.PodTemplateSpecArgs:
    launch, grouped = of.plan.launch, of.plan.launch.group is not None
    together = pods.near(of.selector, GROUP_KEY, must=bool(of.placed.zones)) if grouped else None
    zones = pods.on_nodes(of.placed.zones, of.placed.preferred)
    affinity = core.AffinityArgs(node_affinity=zones, pod_affinity=together) if zones or together else None
    serves = container.readiness_probe is not None
    return core.PodTemplateSpecArgs(
        metadata=meta.ObjectMetaArgs(
            labels=dict(of.labels), annotations={**of.target.pod_annotations, **of.weights.annotations}
        ),
        spec=core.PodSpecArgs(
            service_account_name=of.account,
            automount_service_account_token=False,
            enable_service_links=False,
            termination_grace_period_seconds=launch.grace_s if serves else launch.grace_s + lifecycle.EXIT_S,
            node_selector=dict(of.placed.node_selector),
            tolerations=pods.tolerations(of.placed.tolerations),
            affinity=affinity,
            topology_spread_constraints=list(spread) or None,
            security_context=pods.pod_security(),
            init_containers=_gate(of),
            containers=[container],
            volumes=_storage(of)[0],
        ),
    )


def _gate(of: Pods) -> list[k8s.core.v1.ContainerArgs] | None:
    """A container that lets the server start when its weights are whole."""
    launch = of.plan.launch
    if not launch.gate:
        return None
    return [
        core.ContainerArgs(
            name="gate",
            image=launch.image,
            image_pull_policy="IfNotPresent",
            command=["sh", "-c", launch.gate],
            resources=pods.resources(GATE_HOST, 0),
            security_context=pods.container_security(),
            volume_mounts=[core.VolumeMountArgs(name="tmp", mount_path="/tmp"), pods.weights_mount(read_only=True)],
        )
    ]


def _server(of: Pods) -> k8s.core.v1.ContainerArgs:
    """The container that takes requests."""
    launch = of.plan.launch
    return _container(
        of,
        launch.command,
        launch.args,
        launch.secret_env,
        ports=pods.ports(launch),
        startup_probe=pods.probe(launch.probes.startup),
        readiness_probe=pods.probe(launch.probes.readiness),
        liveness_probe=pods.probe(launch.probes.liveness),
        lifecycle=pods.leaving(launch.leave_s),
    )


def _worker(of: Pods, group: Group) -> k8s.core.v1.ContainerArgs:
    """A container that computes for the first one of its group. It has no server to ask and no requests to lose, but
    its leader's requests end with it: it stays until the leader is gone.
    """
    return _container(of, group.command, group.args, group.secret_env, lifecycle=pods.leaving(of.plan.launch.grace_s))


def _container(
    of: Pods, command: Sequence[str], args: Sequence[str], secrets: Sequence[SecretEnv], **serving: Any
) -> k8s.core.v1.ContainerArgs:
    launch, decision = of.plan.launch, of.plan.decision
    others = of.placed.group_resources if launch.group else {}
    return core.ContainerArgs(
        name="server",
        image=launch.image,
        image_pull_policy="IfNotPresent",
        command=list(command) or None,
        args=list(args),
        env=[*pods.environment(of.weights.variables.items()), *pods.environment(launch.env, secrets, launch.pod_env)],
        resources=pods.resources(decision.host, decision.gpus_per_pod, others),
        security_context=pods.container_security(),
        volume_mounts=_storage(of)[1],
        **serving,
    )


def _storage(of: Pods) -> tuple[list[k8s.core.v1.VolumeArgs], list[k8s.core.v1.VolumeMountArgs]]:
    """Volumes of a pod and where its container has them."""
    volumes, mounts = pods.scratch(of.plan.decision.host)
    if of.weights.volume is not None:
        volumes, mounts = [*volumes, of.weights.volume], [*mounts, pods.weights_mount(read_only=True)]
    if of.settings is not None:
        volumes = [*volumes, pods.settings_volume(of.settings)]
        mounts = [*mounts, *pods.settings_mounts(of.plan.launch.files)]
    return volumes, mounts


def sizing_record(plan: Plan) -> str:
    """What was sized, as plain JSON: figures and the digest of the decision; no price, date or source."""
    memory, decision = plan.fit.memory, plan.decision
    record = {
        "v": 1,
        "digest": digest(decision),
        "model": decision.model,
        "quantization": decision.quantization,
        "accelerator": decision.accelerator,
        "tensor_parallel": decision.tensor_parallel,
        "context_tokens": decision.context,
        "concurrency": decision.concurrency,
    }
    if decision.pipeline_parallel > 1:
        record["pipeline_parallel"] = decision.pipeline_parallel
    if plan.fit.request_tokens:
        record["request_tokens"] = plan.fit.request_tokens
    if memory:
        record |= {
            "budget_bytes": memory.budget_bytes,
            "terms_bytes": {term.name: term.amount_bytes for term in memory.terms},
            "kv_bytes_per_token": memory.kv_bytes_per_token,
            "kv_tokens": memory.kv_tokens,
        }
    return json.dumps(record, sort_keys=True, separators=(",", ":"))
