"""The device plugin of NVIDIA: images of EKS have the driver and no plugin, and without one nodes offer no GPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from modelberth.clouds.aws_groups import fixed

from ..options import child

core, meta, apps, net = k8s.core.v1, k8s.meta.v1, k8s.apps.v1, k8s.networking.v1
GPU_PRESENT = "nvidia.com/gpu.present"
"""Label of nodes that the plugin runs on, which is its chart's own way to choose them."""
PATH = "/var/lib/kubelet/device-plugins"


@dataclass(frozen=True)
class Plugin:
    """One device plugin: its name, which is that of its namespace too, its image and what it is told."""

    name: str
    image: str
    environment: Mapping[str, str]


NVIDIA = Plugin(
    "nvidia-device-plugin",
    fixed("device-plugin"),
    {"NVIDIA_VISIBLE_DEVICES": "all", "NVIDIA_DRIVER_CAPABILITIES": "compute,utility"},
)
"""As its chart 0.20.0 runs it (NVIDIA/k8s-device-plugin, deployments/helm/nvidia-device-plugin/values.yaml)."""


def install(
    plugin: Plugin,
    name: str,
    labels: Mapping[str, str],
    toleration: Mapping[str, str],
    parent: pulumi.Resource,
    provider: k8s.Provider,
) -> k8s.apps.v1.DaemonSet:
    """A pod on each node with GPUs, in a namespace of its own: a second installation of it would collide, not double.

    It runs as root, who owns the kubelet's folder, and with nothing else: no capability, no network, no token.
    """
    own, selector = child(parent, provider=provider), {"app.kubernetes.io/name": plugin.name}
    marked = {**labels, **selector}
    levels = {f"pod-security.kubernetes.io/{mode}": "privileged" for mode in ("enforce", "audit", "warn")}
    namespace = core.Namespace(
        f"{name}-{plugin.name}",
        metadata=meta.ObjectMetaArgs(name=plugin.name, labels={**labels, **levels}),
        opts=own,
    )
    inside = namespace.metadata.name  # type: ignore[reportAttributeAccessIssue]
    net.NetworkPolicy(
        f"{name}-{plugin.name}",
        metadata=meta.ObjectMetaArgs(name=plugin.name, namespace=inside, labels=dict(labels)),
        spec=net.NetworkPolicySpecArgs(
            pod_selector=meta.LabelSelectorArgs(), policy_types=["Ingress", "Egress"], ingress=[], egress=[]
        ),
        opts=own,
    )
    return apps.DaemonSet(
        f"{name}-{plugin.name}",
        metadata=meta.ObjectMetaArgs(name=plugin.name, namespace=inside, labels=marked),
        spec=apps.DaemonSetSpecArgs(
            selector=meta.LabelSelectorArgs(match_labels=selector),
            update_strategy=apps.DaemonSetUpdateStrategyArgs(type="RollingUpdate"),
            template=core.PodTemplateSpecArgs(
                metadata=meta.ObjectMetaArgs(labels=marked), spec=_pod(plugin, toleration)
            ),
        ),
        opts=own,
    )


def _pod(plugin: Plugin, toleration: Mapping[str, str]) -> k8s.core.v1.PodSpecArgs:
    folder = core.HostPathVolumeSourceArgs(path=PATH, type="Directory")
    return core.PodSpecArgs(
        node_selector={GPU_PRESENT: "true"},
        priority_class_name="system-node-critical",
        automount_service_account_token=False,
        enable_service_links=False,
        security_context=core.PodSecurityContextArgs(seccomp_profile=core.SeccompProfileArgs(type="RuntimeDefault")),
        tolerations=[
            core.TolerationArgs(key=toleration["key"], operator="Exists", effect=toleration["effect"]),
        ],
        containers=[_container(plugin)],
        volumes=[core.VolumeArgs(name="kubelet", host_path=folder)],
    )


def _container(plugin: Plugin) -> k8s.core.v1.ContainerArgs:
    return core.ContainerArgs(
        name="plugin",
        image=plugin.image,
        image_pull_policy="IfNotPresent",
        env=[core.EnvVarArgs(name=name, value=value) for name, value in plugin.environment.items()],
        resources=core.ResourceRequirementsArgs(
            requests={"cpu": "50m", "memory": "128Mi", "ephemeral-storage": "64Mi"},
            limits={"memory": "256Mi", "ephemeral-storage": "64Mi"},
        ),
        security_context=core.SecurityContextArgs(
            allow_privilege_escalation=False,
            privileged=False,
            read_only_root_filesystem=True,
            run_as_user=0,
            capabilities=core.CapabilitiesArgs(drop=["ALL"]),
        ),
        volume_mounts=[core.VolumeMountArgs(name="kubelet", mount_path=PATH)],
    )
