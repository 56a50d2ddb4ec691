"""WeightStore: where weights live. A volume claim filled once by a Job, a claim that is filled already, or the hub."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NotRequired, TypedDict

import pulumi
import pulumi_kubernetes as k8s

from modelberth import parse
from modelberth.decision import FILLED, IN_BUCKETS
from modelberth.engines import Fetch
from modelberth.findings import Finding, Refused
from modelberth.host import FETCH_HOST, fetch_limit_seconds
from modelberth.plan import Plan
from modelberth.spec import WeightsKind, WeightsSpec

from . import network, pods
from .mounted import NOTHING, Mounted, of_bucket, of_claim
from .naming import fetch_labels, service_labels, token
from .options import child, refused, register
from .targets.base import Bucket, Placed, Target

core, meta = k8s.core.v1, k8s.meta.v1


class WeightStoreArgs(TypedDict):
    """Where weights live."""

    kind: str
    """hub, claim or existing-claim."""
    size_gib: NotRequired[int]
    """Size of the claim, GiB."""
    claim: NotRequired[str]
    """Name of the existing claim."""
    path: NotRequired[str]
    """Folder of the model inside the existing claim."""
    storage_class: NotRequired[str]
    """StorageClass; default: the target's."""
    access_mode: NotRequired[str]
    """Access mode of the claim."""
    bucket: NotRequired[str]
    """Name of a bucket that exists."""
    prefix: NotRequired[str]
    """Folder of the bucket that everything lies in."""
    model: NotRequired[str]
    """What lies in a bucket, for its label."""
    retain: NotRequired[bool]
    """Keep the volume when the store is deleted; default: no, it can be filled again."""
    follows: NotRequired[bool]
    """Make a new volume when the size changes, for one that belongs to a service: none ever shrinks, few grow."""


def _checked(name: str, args: Mapping[str, object]) -> WeightsSpec:
    spec = parse.part(WeightsSpec, args, f"weights.{name}")
    if spec.kind is WeightsKind.CLAIM and spec.size_gib is None:
        raise Refused([Finding("storage", f"weights.{name}.size_gib", "is required for kind claim", "its size in GiB")])
    return spec


class WeightStore(pulumi.ComponentResource):
    """Weights that outlive the services that use them."""

    claim: pulumi.Output[str]
    """Name of the claim; empty when each pod downloads for itself."""

    def __init__(
        self,
        name: str,
        args: WeightStoreArgs,
        opts: pulumi.ResourceOptions | None = None,
        *,
        target: Target,
        bucket: pulumi.Input[str] | None = None,
    ) -> None:
        described = {key: value for key, value in args.items() if key not in ("retain", "follows", "model")}
        self.spec = refused(lambda: _checked(name, described))
        super().__init__(token("WeightStore"), name, {}, opts)
        self.kind = self.spec.kind.value
        self._name, self._target = name, target
        self._filled: dict[tuple[str, ...], k8s.batch.v1.Job] = {}
        self._guards: dict[str, pulumi.Resource] = {}
        self._writers: dict[str, Mounted] = {}
        self._accounts: dict[str, pulumi.Output[str]] = {}
        self.claim = pulumi.Output.from_input(args.get("claim", ""))
        if self.kind == "claim":
            self.claim = self._make_claim(args)
        self.bucket = self._make_bucket(args, bucket) if self.kind in IN_BUCKETS else None
        register(self)

    def _make_bucket(self, args: WeightStoreArgs, given: pulumi.Input[str] | None) -> Bucket:
        """A bucket of its own, the one that is named, or one that another part of a program makes."""
        name = self._name.removeprefix("weights-")
        existing = args.get("bucket") if given is None else given
        made = self._target.bucket(name, existing, {"model": args.get("model", "several")}, self)
        return replace(made, prefix=self.spec.prefix)

    def mounted(self, service: str, account: pulumi.Input[str], parent: pulumi.Resource) -> Mounted:
        """The store in the serving pods of a service, which run as ``account``."""
        if self.bucket is not None:
            files = self.kind == "bucket"
            return of_bucket(service, self.bucket, account, self._target, parent, read_only=True, files=files)
        return NOTHING if self.kind == "hub" else of_claim(self.claim, read_only=True)

    def _make_claim(self, args: WeightStoreArgs) -> pulumi.Output[str]:
        made = core.PersistentVolumeClaim(
            f"{self._name}-claim",
            metadata=meta.ObjectMetaArgs(namespace=self._target.namespace, labels=dict(self._target.labels)),
            spec=core.PersistentVolumeClaimSpecArgs(
                access_modes=[args.get("access_mode", "ReadWriteOnce")],
                storage_class_name=args.get("storage_class") or self._target.storage_class,
                resources=core.VolumeResourceRequirementsArgs(requests={"storage": f"{self.spec.size_gib}Gi"}),
            ),
            opts=child(
                self,
                provider=self._target.provider,
                retain_on_delete=args.get("retain", False),
                replace_on_changes=["spec.resources"] if args.get("follows") else None,
            ),
        )
        return made.metadata.name  # type: ignore[reportAttributeAccessIssue]

    def fill(self, plan: Plan, placed: Placed) -> Sequence[pulumi.Resource]:
        """The Jobs that download a service's weights, on the nodes that will read them so that zonal disks agree.

        Nothing for a claim that is filled already or for the hub. One Job brings the weights, one each adapter, one a
        draft model: what is added or changes its revision is a new Job and a new folder, and the others stay as they
        are. Services that read the same folder share its Job.
        """
        if not plan.launch.fetch or self.kind not in FILLED:
            return []
        made: list[pulumi.Resource] = []
        for beside in dict.fromkeys(step.beside for step in plan.launch.fetch):
            steps = [step for step in plan.launch.fetch if step.beside == beside]
            folders = tuple(step.folder for step in steps)
            if folders not in self._filled:
                self._filled[folders] = self._job(plan, placed, beside, steps)
            made.append(self._filled[folders])
        return made

    def _guard(self, plan: Plan, selector: Mapping[str, str], labels: Mapping[str, str]) -> pulumi.Resource:
        """What the Jobs of one service may reach: the hub."""
        called = plan.spec.called(plan.service)
        if called not in self._guards:
            self._guards[called] = network.policy(
                f"{called}-fetch-network-policy",
                self,
                self._target,
                selector,
                labels,
                port=None,
                downloads=plan.launch.download_port,
                reads_bucket=self.bucket is not None,
            )
        return self._guards[called]

    def _job(self, plan: Plan, placed: Placed, beside: str, fetches: Sequence[Fetch]) -> k8s.batch.v1.Job:
        called = plan.spec.called(plan.service)
        selector = fetch_labels(called)
        labels = {**self._target.labels, **selector}
        name = f"{called}-fetch" + (f"-{beside}" if beside else "")
        guard = self._guard(plan, selector, labels)
        mounted = self._writable(plan, labels)
        limit_s = fetch_limit_seconds(plan.fetch_s)
        annotations = {**self._target.pod_annotations, **mounted.annotations}
        return k8s.batch.v1.Job(
            name,
            metadata=meta.ObjectMetaArgs(namespace=self._target.namespace, labels=labels),
            spec=k8s.batch.v1.JobSpecArgs(
                backoff_limit=4,
                active_deadline_seconds=limit_s,
                template=core.PodTemplateSpecArgs(
                    metadata=meta.ObjectMetaArgs(labels=labels, annotations=annotations),
                    spec=self._pod(plan, placed, fetches, mounted),
                ),
            ),
            opts=child(
                self,
                provider=self._target.provider,
                custom_timeouts=pulumi.CustomTimeouts(create=f"{limit_s + 60}s"),
                depends_on=[guard, *mounted.after, *placed.pools],
            ),
        )

    def _writable(self, plan: Plan, labels: Mapping[str, str]) -> Mounted:
        """The store in the pods that fill it: a bucket by an account of theirs, which no server has."""
        if self.bucket is None:
            return of_claim(self.claim, read_only=False)
        called = plan.spec.called(plan.service)
        if called not in self._writers:
            name = f"{called}-fetch"
            account = core.ServiceAccount(
                f"{name}-account",
                metadata=meta.ObjectMetaArgs(namespace=self._target.namespace, labels=dict(labels)),
                automount_service_account_token=False,
                opts=child(self, provider=self._target.provider),
            )
            self._accounts[called] = account.metadata.name  # type: ignore[reportAttributeAccessIssue]
            self._writers[called] = of_bucket(
                name, self.bucket, self._accounts[called], self._target, self, read_only=False, files=True
            )
        return self._writers[called]

    def _pod(self, plan: Plan, placed: Placed, fetches: Sequence[Fetch], mounted: Mounted) -> k8s.core.v1.PodSpecArgs:
        volumes, mounts = pods.scratch(FETCH_HOST)
        if mounted.volume is not None:
            volumes, mounts = [*volumes, mounted.volume], [*mounts, pods.weights_mount(read_only=False)]
        if plan.spec.token:
            volume, mount = pods.token_volume(plan.spec.token)
            volumes, mounts = [*volumes, volume], [*mounts, mount]
        steps = [_step(f"fetch-{index}", fetch, mounts) for index, fetch in enumerate(fetches[:-1])]
        return core.PodSpecArgs(
            service_account_name=self._accounts.get(plan.spec.called(plan.service)),
            restart_policy="OnFailure",
            automount_service_account_token=False,
            enable_service_links=False,
            node_selector=dict(placed.node_selector),
            tolerations=pods.tolerations(placed.tolerations),
            affinity=self._affinity(plan, placed),
            security_context=pods.pod_security(),
            init_containers=steps or None,
            containers=[_step("fetch", fetches[-1], mounts)],
            volumes=volumes,
        )

    def _affinity(self, plan: Plan, placed: Placed) -> k8s.core.v1.AffinityArgs:
        exclusive = self.kind == "claim" and self.spec.access_mode == "ReadWriteOnce"
        return core.AffinityArgs(
            node_affinity=pods.on_nodes(placed.zones, placed.preferred),
            pod_affinity=pods.beside(service_labels(plan.spec.called(plan.service))) if exclusive else None,
        )


def _step(name: str, fetch: Fetch, mounts: Sequence[k8s.core.v1.VolumeMountArgs]) -> k8s.core.v1.ContainerArgs:
    return core.ContainerArgs(
        name=name,
        image=fetch.image,
        image_pull_policy="IfNotPresent",
        command=["sh", "-c", fetch.script],
        env=pods.environment(fetch.env),
        resources=pods.resources(FETCH_HOST, 0),
        security_context=pods.container_security(),
        volume_mounts=list(mounts),
    )
