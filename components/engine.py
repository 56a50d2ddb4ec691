"""EngineDeployment: the only renderer from a plan's launch to Kubernetes."""

from __future__ import annotations

import json

import pulumi
import pulumi_kubernetes as k8s

from modelberth.decision import SIZING_ANNOTATION, digest
from modelberth.plan import Plan

from . import autoscaling, monitoring, network, pods, restarts
from .naming import selector_labels, token
from .options import child, register
from .targets.base import Placed, Target
from .weights import WeightStore

AWAIT_MARGIN_S = 300
"""Beyond the start-up budget: scheduling, node start and the awaiter's own polling."""

core, meta = k8s.core.v1, k8s.meta.v1


class EngineDeployment(pulumi.ComponentResource):
    """One engine serving one model: Deployment, Service, ServiceAccount, NetworkPolicy, PodDisruptionBudget."""

    endpoint: pulumi.Output[str]
    """Base URL of the OpenAI-compatible API, inside the cluster."""

    def __init__(
        self,
        name: str,
        plan: Plan,
        opts: pulumi.ResourceOptions | None = None,
        *,
        target: Target,
        placed: Placed,
        weights: WeightStore,
    ) -> None:
        super().__init__(token("EngineDeployment"), name, {}, opts)
        self._name, self._plan, self._target, self._placed, self._weights = name, plan, target, placed, weights
        self._selector = selector_labels(name)
        self._labels = {
            **target.labels,
            **self._selector,
            "app.kubernetes.io/name": plan.decision.engine,
            "app.kubernetes.io/version": plan.decision.engine_version,
            "app.kubernetes.io/managed-by": "pulumi",
        }
        account = core.ServiceAccount(
            f"{name}-account",
            metadata=meta.ObjectMetaArgs(namespace=target.namespace, labels=self._labels),
            automount_service_account_token=False,
            opts=child(self, provider=target.provider),
        )
        guard = network.policy(
            f"{name}-network-policy",
            self,
            target,
            self._selector,
            self._labels,
            port=plan.launch.port,
            downloads=plan.launch.download_port if weights.kind == "hub" else None,
            metrics=(plan.launch.metrics_port or plan.launch.port) if plan.launch.metrics_path else None,
        )
        filled = weights.fill(plan, placed)
        self._settings = self._config_map() if plan.launch.files else None
        deployment = self._deployment(account, [guard, *filled])
        service = self._service(deployment)
        self._disruption_budget()
        if plan.scaling:
            reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": deployment.metadata.name}
            autoscaling.autoscaler(name, self, target, plan.scaling, self._labels, deployment, reference)
        if target.monitoring.operator:
            monitoring.watch(plan, self, target, self._selector, self._labels)
        self.endpoint = pulumi.Output.format(
            "http://{0}.{1}.svc:{2}/v1", service.metadata.name, target.namespace, plan.launch.port
        )
        register(self)

    def _meta(self, annotations: dict[str, str] | None = None, name: str | None = None) -> k8s.meta.v1.ObjectMetaArgs:
        return meta.ObjectMetaArgs(
            name=name, namespace=self._target.namespace, labels=self._labels, annotations=annotations
        )

    def _deployment(self, account: k8s.core.v1.ServiceAccount, after: list[pulumi.Resource]) -> k8s.apps.v1.Deployment:
        budget_s = self._plan.decision.startup_budget_s
        await_s = f"{budget_s * self._plan.spec.most_replicas + AWAIT_MARGIN_S}s"
        return k8s.apps.v1.Deployment(
            f"{self._name}-server",
            metadata=self._meta({SIZING_ANNOTATION: sizing_record(self._plan)}),
            spec=k8s.apps.v1.DeploymentSpecArgs(
                replicas=max(1, self._plan.spec.fewest_replicas),  # one, to see that it starts, before it may sleep
                progress_deadline_seconds=budget_s + AWAIT_MARGIN_S // 2,
                revision_history_limit=3,
                selector=meta.LabelSelectorArgs(match_labels=self._selector),
                strategy=k8s.apps.v1.DeploymentStrategyArgs(
                    type="RollingUpdate",
                    rolling_update=k8s.apps.v1.RollingUpdateDeploymentArgs(
                        max_surge=self._plan.rollout.max_surge, max_unavailable=self._plan.rollout.max_unavailable
                    ),
                ),
                template=core.PodTemplateSpecArgs(
                    metadata=meta.ObjectMetaArgs(labels=self._labels, annotations=dict(self._target.pod_annotations)),
                    spec=self._pod(account),
                ),
            ),
            opts=child(
                self,
                provider=self._target.provider,
                depends_on=after,
                ignore_changes=["spec.replicas"] if self._plan.scaling else None,  # the autoscaler's, once it is there
                custom_timeouts=pulumi.CustomTimeouts(create=await_s, update=await_s),
                hooks=restarts.told(f"{self._name}-server", self._plan.service, self._plan.rollout),
            ),
        )

    def _pod(self, account: k8s.core.v1.ServiceAccount) -> k8s.core.v1.PodSpecArgs:
        launch, decision = self._plan.launch, self._plan.decision
        volumes, mounts = pods.scratch(decision.host)
        if self._weights.kind != "hub":
            volume, mount = pods.weights_volume(self._weights.claim, read_only=True)
            volumes, mounts = [*volumes, volume], [*mounts, mount]
        if self._settings:
            volumes.append(pods.settings_volume(self._settings.metadata.name))
            mounts.extend(pods.settings_mounts(launch.files))
        return core.PodSpecArgs(
            service_account_name=account.metadata.name,
            automount_service_account_token=False,
            enable_service_links=False,
            termination_grace_period_seconds=launch.grace_s,
            node_selector=dict(self._placed.node_selector),
            tolerations=pods.tolerations(self._placed.tolerations),
            affinity=core.AffinityArgs(node_affinity=pods.in_zones(self._placed.zones)) if self._placed.zones else None,
            topology_spread_constraints=pods.spread(self._plan.spec, self._selector) or None,
            security_context=pods.pod_security(),
            containers=[
                core.ContainerArgs(
                    name="server",
                    image=launch.image,
                    image_pull_policy="IfNotPresent",
                    command=list(launch.command) or None,
                    args=list(launch.args),
                    env=pods.environment(launch.env, launch.secret_env),
                    ports=pods.ports(launch),
                    resources=pods.resources(decision.host, decision.gpus_per_replica),
                    startup_probe=pods.probe(launch.probes.startup),
                    readiness_probe=pods.probe(launch.probes.readiness),
                    liveness_probe=pods.probe(launch.probes.liveness),
                    lifecycle=pods.leaving(launch.leave_s),
                    security_context=pods.container_security(),
                    volume_mounts=mounts,
                )
            ],
            volumes=volumes,
        )

    def _config_map(self) -> k8s.core.v1.ConfigMap:
        """Settings files. Immutable and named anew by the engine when they change, so that a change rolls the pods."""
        return core.ConfigMap(
            f"{self._name}-settings",
            metadata=self._meta(),
            data={pods.settings_key(file.path): file.content for file in self._plan.launch.files},
            immutable=True,
            opts=child(self, provider=self._target.provider),
        )

    def _service(self, deployment: k8s.apps.v1.Deployment) -> k8s.core.v1.Service:
        return core.Service(
            f"{self._name}-service",
            metadata=self._meta({"pulumi.com/skipAwait": "true"}, name=self._name),  # it follows the awaited Deployment
            spec=core.ServiceSpecArgs(
                type="ClusterIP",
                selector=self._selector,
                ports=[core.ServicePortArgs(name="http", port=self._plan.launch.port, target_port="http")],
            ),
            opts=child(self, provider=self._target.provider, depends_on=[deployment]),
        )

    def _disruption_budget(self) -> None:
        k8s.policy.v1.PodDisruptionBudget(
            f"{self._name}-disruption-budget",
            metadata=self._meta(),
            spec=k8s.policy.v1.PodDisruptionBudgetSpecArgs(
                max_unavailable=1,
                unhealthy_pod_eviction_policy="AlwaysAllow",
                selector=meta.LabelSelectorArgs(match_labels=self._selector),
            ),
            opts=child(self, provider=self._target.provider),
        )


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
    if memory:
        record |= {
            "budget_bytes": memory.budget_bytes,
            "terms_bytes": {term.name: term.amount_bytes for term in memory.terms},
            "kv_bytes_per_token": memory.kv_bytes_per_token,
            "kv_tokens": memory.kv_tokens,
        }
    return json.dumps(record, sort_keys=True, separators=(",", ":"))
