"""Device plugins: images of EKS have drivers and no plugin, and without one nodes offer neither GPUs nor EFA."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi
import pulumi_kubernetes as k8s

from modelberth.clouds.aws_fabric import registry
from modelberth.clouds.aws_groups import fixed

from ..options import child

core, meta, apps, net = k8s.core.v1, k8s.meta.v1, k8s.apps.v1, k8s.networking.v1
GPU_PRESENT = "nvidia.com/gpu.present"
"""Label of nodes that NVIDIA's plugin runs on, which is its chart's own way to choose them."""
JOINED = {"modelberth.dev/fabric": "efa"}
"""Label of nodes that the plugin of EFA runs on: those with interfaces for it."""
PATH = "/var/lib/kubelet/device-plugins"


@dataclass(frozen=True)
class Plugin:
    """One device plugin: its name, which is that of its namespace too, its image, and the labels of its nodes."""

    name: str
    image: str
    nodes: Mapping[str, str]
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    folders: Mapping[str, str] = field(default_factory=dict[str, str])
    """Folders of the node beside the kubelet's: path -> what the kubelet checks of it."""
    privileged: bool = False
    """Whether it has all rights on the node and the node's network, or neither."""


NVIDIA = Plugin(
    "nvidia-device-plugin",
    fixed("device-plugin"),
    {GPU_PRESENT: "true"},
    {"NVIDIA_VISIBLE_DEVICES": "all", "NVIDIA_DRIVER_CAPABILITIES": "compute,utility"},
)
"""As its chart 0.20.0 runs it (NVIDIA/k8s-device-plugin, deployments/helm/nvidia-device-plugin/values.yaml)."""


def efa(region: str) -> Plugin:
    """The plugin of EFA, from the registry of a region, as its chart 0.5.30 runs it: privileged, in the node's network,
    with these folders (aws/eks-charts@5239609:stable/aws-efa-k8s-device-plugin/templates/daemonset.yaml).
    """
    return Plugin(
        "aws-efa-k8s-device-plugin",
        f"{registry(region)}/{fixed('efa-device-plugin')}",
        JOINED,
        folders={"/dev/infiniband": "Directory", "/opt/aws/neuron": "DirectoryOrCreate"},
        privileged=True,
    )


def install(
    plugin: Plugin,
    name: str,
    labels: Mapping[str, str],
    toleration: Mapping[str, str],
    parent: pulumi.Resource,
    provider: k8s.Provider,
) -> k8s.apps.v1.DaemonSet:
    """A pod on each node with its devices, in a namespace of its own: a second installation would collide, not double.

    It runs as root, who owns the kubelet's folder, and has no token. Unless it must be ``privileged`` it has no
    capability and no network either.
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
    return core.PodSpecArgs(
        node_selector=dict(plugin.nodes),
        host_network=True if plugin.privileged else None,
        priority_class_name="system-node-critical",
        automount_service_account_token=False,
        enable_service_links=False,
        security_context=core.PodSecurityContextArgs(seccomp_profile=core.SeccompProfileArgs(type="RuntimeDefault")),
        tolerations=[
            core.TolerationArgs(key=toleration["key"], operator="Exists", effect=toleration["effect"]),
        ],
        containers=[_container(plugin)],
        volumes=[
            core.VolumeArgs(name=name, host_path=core.HostPathVolumeSourceArgs(path=path, type=kind))
            for name, (path, kind) in _folders(plugin).items()
        ],
    )


def _folders(plugin: Plugin) -> dict[str, tuple[str, str]]:
    """Name of a volume -> folder of the node and what the kubelet checks of it."""
    others = {path.rpartition("/")[2]: (path, kind) for path, kind in plugin.folders.items()}
    return {"kubelet": (PATH, "Directory"), **others}


def _rights(plugin: Plugin) -> k8s.core.v1.SecurityContextArgs:
    if plugin.privileged:
        return core.SecurityContextArgs(allow_privilege_escalation=True, privileged=True, run_as_user=0)
    return core.SecurityContextArgs(
        allow_privilege_escalation=False,
        privileged=False,
        read_only_root_filesystem=True,
        run_as_user=0,
        capabilities=core.CapabilitiesArgs(drop=["ALL"]),
    )


def _container(plugin: Plugin) -> k8s.core.v1.ContainerArgs:
    return core.ContainerArgs(
        name="plugin",
        image=plugin.image,
        image_pull_policy="IfNotPresent",
        env=[core.EnvVarArgs(name=name, value=value) for name, value in plugin.environment.items()] or None,
        resources=core.ResourceRequirementsArgs(
            requests={"cpu": "50m", "memory": "128Mi", "ephemeral-storage": "64Mi"},
            limits={"memory": "256Mi", "ephemeral-storage": "64Mi"},
        ),
        security_context=_rights(plugin),
        volume_mounts=[
            core.VolumeMountArgs(name=name, mount_path=path) for name, (path, _) in _folders(plugin).items()
        ],
    )
