"""EngineDeployment: the only renderer from a plan's launch to Kubernetes."""

from __future__ import annotations

import pulumi
import pulumi_kubernetes as k8s

from modelberth.plan import Plan

from . import autoscaling, monitoring, network, pods, workload
from .door import open_door
from .naming import selector_labels, token
from .options import child, register
from .targets.base import Placed, Target
from .weights import WeightStore

core, meta = k8s.core.v1, k8s.meta.v1


class EngineDeployment(pulumi.ComponentResource):
    """One engine serving one model: its workload, Service, ServiceAccount, NetworkPolicy, PodDisruptionBudget."""

    endpoint: pulumi.Output[str]
    """Base URL of the OpenAI-compatible API, inside the cluster."""
    url: pulumi.Output[str | None]
    """The same from outside, through the door; null without one."""

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
        self._name, self._plan, self._target = name, plan, target
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
            reads_bucket=weights.bucket is not None,
            among_themselves=plan.launch.group is not None,
            metrics=(plan.launch.metrics_port or plan.launch.port) if plan.launch.metrics_path else None,
            door=plan.door,
        )
        filled = weights.fill(plan, placed)
        mounted = weights.mounted(name, account.metadata.name, self)  # type: ignore[reportAttributeAccessIssue]
        serving = workload.Pods(
            name=name,
            plan=plan,
            target=target,
            placed=placed,
            account=account.metadata.name,  # type: ignore[reportAttributeAccessIssue]
            labels=self._labels,
            selector=self._selector,
            weights=mounted,
            settings=self._config_map().metadata.name if plan.launch.files else None,  # type: ignore[reportAttributeAccessIssue]
        )
        server = workload.serve(serving, self, [guard, *filled, *mounted.after, *placed.pools])
        service = self._service(server, serving)
        self._disruption_budget()
        if plan.scaling:
            autoscaling.autoscaler(
                name, self, target, plan.scaling, self._labels, server, workload.reference(serving, server)
            )
        if target.monitoring.operator:
            monitoring.watch(plan, self, target, dict(serving.serving), self._labels)
        if plan.door:
            open_door(name, self, target, self._labels, plan.door, service)
        self.url = pulumi.Output.from_input(plan.door.url if plan.door else None)
        self.endpoint = pulumi.Output.format(
            "http://{0}.{1}.svc:{2}{3}", service.metadata.name, target.namespace, plan.launch.port, plan.launch.api_path
        )
        register(self)

    def _meta(self, annotations: dict[str, str] | None = None, name: str | None = None) -> k8s.meta.v1.ObjectMetaArgs:
        return meta.ObjectMetaArgs(
            name=name, namespace=self._target.namespace, labels=self._labels, annotations=annotations
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

    def _service(self, server: pulumi.CustomResource, serving: workload.Pods) -> k8s.core.v1.Service:
        return core.Service(
            f"{self._name}-service",
            metadata=self._meta({"pulumi.com/skipAwait": "true"}, name=self._name),  # it follows the awaited workload
            spec=core.ServiceSpecArgs(
                type="ClusterIP",
                selector=dict(serving.serving),
                ports=[core.ServicePortArgs(name="http", port=self._plan.launch.port, target_port="http")],
            ),
            opts=child(self, provider=self._target.provider, depends_on=[server]),
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
