"""The parts of a pod that do not depend on the engine: security, volumes, environment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pulumi
import pulumi_kubernetes as k8s

from modelberth.decision import Host
from modelberth.engines.base import CACHE_MOUNT, HUB_TOKEN_MOUNT, WEIGHTS_MOUNT, ConfigFile, Launch, Probe, SecretEnv
from modelberth.host import USER_ID
from modelberth.names import Spread
from modelberth.parts import SecretRef
from modelberth.spec import ServiceSpec
from modelberth.units import cores, mebibytes

core = k8s.core.v1
ZONE, HOST = "topology.kubernetes.io/zone", "kubernetes.io/hostname"


def pod_security() -> k8s.core.v1.PodSecurityContextArgs:
    """Not root, no profile but the runtime's; volumes belong to the group."""
    return core.PodSecurityContextArgs(
        run_as_non_root=True,
        run_as_user=USER_ID,
        run_as_group=USER_ID,
        fs_group=USER_ID,
        fs_group_change_policy="OnRootMismatch",
        seccomp_profile=core.SeccompProfileArgs(type="RuntimeDefault"),
    )


def container_security() -> k8s.core.v1.SecurityContextArgs:
    """Read-only root, no capabilities, no way up."""
    return core.SecurityContextArgs(
        allow_privilege_escalation=False,
        privileged=False,
        read_only_root_filesystem=True,
        run_as_non_root=True,
        capabilities=core.CapabilitiesArgs(drop=["ALL"]),
    )


def environment(
    plain: Iterable[tuple[str, pulumi.Input[str]]],
    secrets: Iterable[SecretEnv] = (),
    fields: Iterable[tuple[str, str]] = (),
) -> list[k8s.core.v1.EnvVarArgs]:
    """Plain variables, then the ones that Secrets hold, then fields of the pod."""
    found = [core.EnvVarArgs(name=name, value=value) for name, value in plain]
    for secret in secrets:
        key = core.SecretKeySelectorArgs(name=secret.ref.secret, key=secret.ref.key)
        found.append(core.EnvVarArgs(name=secret.name, value_from=core.EnvVarSourceArgs(secret_key_ref=key)))
    for name, path in fields:
        source = core.EnvVarSourceArgs(field_ref=core.ObjectFieldSelectorArgs(field_path=path))
        found.append(core.EnvVarArgs(name=name, value_from=source))
    return found


def scratch(host: Host) -> tuple[list[k8s.core.v1.VolumeArgs], list[k8s.core.v1.VolumeMountArgs]]:
    """/tmp, the cache and /dev/shm, each with a limit."""
    sizes = {"tmp": ("/tmp", "1Gi", None), "cache": (CACHE_MOUNT, mebibytes(host.ephemeral_mib - 1024), None)}
    sizes |= {"shm": ("/dev/shm", mebibytes(host.shm_mib), "Memory")}
    volumes = [
        core.VolumeArgs(name=name, empty_dir=core.EmptyDirVolumeSourceArgs(size_limit=size, medium=medium))
        for name, (_, size, medium) in sizes.items()
    ]
    mounts = [core.VolumeMountArgs(name=name, mount_path=path) for name, (path, _, _) in sizes.items()]
    return volumes, mounts


def probe(asked: Probe) -> k8s.core.v1.ProbeArgs:
    """A probe of the serving port, or of a command in the container."""
    return core.ProbeArgs(
        http_get=core.HTTPGetActionArgs(path=asked.path, port="http") if asked.path else None,
        exec_=core.ExecActionArgs(command=list(asked.command)) if asked.command else None,
        period_seconds=asked.period_s,
        timeout_seconds=asked.timeout_s,
        failure_threshold=asked.failures,
    )


def ports(launch: Launch) -> list[k8s.core.v1.ContainerPortArgs]:
    """The serving port, and that of the metrics where it is another."""
    found = [core.ContainerPortArgs(name="http", container_port=launch.port)]
    if launch.metrics_port and launch.metrics_port != launch.port:
        found.append(core.ContainerPortArgs(name="metrics", container_port=launch.metrics_port))
    return found


def leaving(seconds: int) -> k8s.core.v1.LifecycleArgs:
    """The kubelet's own sleep before the signal to stop: it needs no program in the image (Kubernetes 1.30)."""
    return core.LifecycleArgs(
        pre_stop=core.LifecycleHandlerArgs(sleep=core.SleepActionArgs(seconds=seconds)),
    )


def settings_key(path: str) -> str:
    """Key of a settings file in its ConfigMap."""
    return path.strip("/").replace("/", "-")


def settings_volume(config_map: pulumi.Input[str]) -> k8s.core.v1.VolumeArgs:
    """The ConfigMap of an engine's settings."""
    return core.VolumeArgs(name="settings", config_map=core.ConfigMapVolumeSourceArgs(name=config_map))


def settings_mounts(files: Iterable[ConfigFile]) -> list[k8s.core.v1.VolumeMountArgs]:
    """Each settings file where the engine looks for it."""
    return [
        core.VolumeMountArgs(name="settings", mount_path=file.path, sub_path=settings_key(file.path), read_only=True)
        for file in files
    ]


def weights_mount(*, read_only: bool) -> k8s.core.v1.VolumeMountArgs:
    """Where the engine looks for weights."""
    return core.VolumeMountArgs(name="weights", mount_path=WEIGHTS_MOUNT, read_only=read_only)


def token_volume(ref: SecretRef) -> tuple[k8s.core.v1.VolumeArgs, k8s.core.v1.VolumeMountArgs]:
    """A hub token as a file: no environment, no argument."""
    items = [core.KeyToPathArgs(key=ref.key, path=ref.key)]
    source = core.SecretVolumeSourceArgs(secret_name=ref.secret, items=items, default_mode=0o440)
    return (
        core.VolumeArgs(name="hub-token", secret=source),
        core.VolumeMountArgs(name="hub-token", mount_path=HUB_TOKEN_MOUNT, read_only=True),
    )


def resources(host: Host, gpus: int, others: Mapping[str, str] | None = None) -> k8s.core.v1.ResourceRequirementsArgs:
    """Requests equal limits: what was sized is what the pod gets. ``others`` are resources that a target asks for.

    Quantities are spelled as the API server gives them back: a webhook that rewrites a whole object, as the one of
    LeaderWorkerSet does, would otherwise leave a difference at every `up`.
    """
    fixed = {"memory": mebibytes(host.memory_mib), "ephemeral-storage": mebibytes(host.ephemeral_mib)}
    if gpus:
        fixed["nvidia.com/gpu"] = str(gpus)
    fixed |= others or {}
    cpu = {"cpu": cores(host.cpu_millicores)}
    return core.ResourceRequirementsArgs(requests={**cpu, **fixed}, limits={**cpu, **fixed})


def tolerations(placed: Iterable[Mapping[str, str]]) -> list[k8s.core.v1.TolerationArgs]:
    """Tolerations as the SDK wants them."""
    return [core.TolerationArgs(key=t["key"], operator=t["operator"], effect=t["effect"]) for t in placed]


def beside(labels: Mapping[str, str]) -> k8s.core.v1.PodAffinityArgs:
    """On the node of pods with these labels, or anywhere while there are none: the first such pod matches itself.

    For whoever writes to a ReadWriteOnce volume that a server may hold: it is attached to one node at a time.
    """
    term = core.PodAffinityTermArgs(
        topology_key=HOST,
        label_selector=k8s.meta.v1.LabelSelectorArgs(match_labels=dict(labels)),
    )
    return core.PodAffinityArgs(required_during_scheduling_ignored_during_execution=[term])


def near(labels: Mapping[str, str], same: str, *, must: bool) -> k8s.core.v1.PodAffinityArgs:
    """In the zone of pods with these labels and with the same value of one more; the first such pod matches itself.

    Required, it keeps pods off all nodes that name no zone: ``must`` only where zones are known.
    """
    term = core.PodAffinityTermArgs(
        topology_key=ZONE,
        label_selector=k8s.meta.v1.LabelSelectorArgs(match_labels=dict(labels)),
        match_label_keys=[same],
    )
    if must:
        return core.PodAffinityArgs(required_during_scheduling_ignored_during_execution=[term])
    wished = core.WeightedPodAffinityTermArgs(weight=100, pod_affinity_term=term)
    return core.PodAffinityArgs(preferred_during_scheduling_ignored_during_execution=[wished])


def spread(
    spec: ServiceSpec, selector: Mapping[str, str], *, by: str = "pod-template-hash"
) -> list[k8s.core.v1.TopologySpreadConstraintArgs]:
    """Replicas over zones and nodes, those of one template (label ``by``) apart; none for a single one."""
    if spec.most_replicas < 2 or spec.spread is Spread.NONE:
        return []
    required = {ZONE: spec.spread is Spread.ZONES, HOST: spec.spread is Spread.NODES}
    places = {ZONE: 2, HOST: spec.most_replicas}  # fewer than these and the skew would be kept by one place alone
    return [
        core.TopologySpreadConstraintArgs(
            topology_key=key,
            max_skew=1,
            min_domains=places[key] if must else None,
            when_unsatisfiable="DoNotSchedule" if must else "ScheduleAnyway",
            node_taints_policy="Honor" if must else None,  # a cordoned node is no place that waits to be filled
            label_selector=k8s.meta.v1.LabelSelectorArgs(match_labels=dict(selector)),
            match_label_keys=[by],
        )
        for key, must in required.items()
    ]


def on_nodes(zones: Iterable[str], preferred: Iterable[tuple[str, str]] = ()) -> k8s.core.v1.NodeAffinityArgs | None:
    """Only in these zones, and rather where a label has its value, the first of them most; None when any will do."""
    values = sorted(zones)
    wishes = [
        core.PreferredSchedulingTermArgs(weight=max(1, 100 >> place), preference=_having(key, [value]))
        for place, (key, value) in enumerate(preferred)
    ]
    if not (values or wishes):
        return None
    only = core.NodeSelectorArgs(node_selector_terms=[_having(ZONE, values)]) if values else None
    return core.NodeAffinityArgs(
        required_during_scheduling_ignored_during_execution=only,
        preferred_during_scheduling_ignored_during_execution=wishes or None,
    )


def _having(key: str, values: list[str]) -> k8s.core.v1.NodeSelectorTermArgs:
    requirement = core.NodeSelectorRequirementArgs(key=key, operator="In", values=values)
    return core.NodeSelectorTermArgs(match_expressions=[requirement])
