"""A cluster on Amazon Elastic Kubernetes Service, made or found, with its GPU node groups, buckets and identities."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as k8s

from modelberth import parse
from modelberth.clouds import fabrics
from modelberth.findings import Finding, Refused
from modelberth.parts import Monitoring
from modelberth.pools import PoolPlan
from modelberth.targets import Eks
from modelberth.targets import Target as TargetSpec

from ..naming import token
from ..options import child, refused, register
from . import eks_buckets, eks_cluster, eks_karpenter, eks_keys, eks_network, eks_plugins, eks_pools, eks_volumes
from .base import Attached, Bucket, IdentityServer, MadePool, ManagedClusterArgs, Target, found_cluster, namespaced
from .names import prefix


class EksClusterArgs(ManagedClusterArgs):
    """The cluster and what to call things in it."""

    eks: Mapping[str, Any]
    """What modelberth:target says under eks."""


class EksCluster(Target):
    """A private cluster with a system group; GPU groups, buckets and grants are made as plans ask for them."""

    makes_pools = True
    node_labels = "aws"
    identity_servers = (IdentityServer("169.254.170.23/32", (80,)),)
    """The agent of Pod Identity (docs.aws.amazon.com/eks/latest/userguide/pod-id-how-it-works.html)."""

    cluster_name: pulumi.Output[str]
    """Name of the cluster."""
    kubeconfig: pulumi.Output[str]
    """A kubeconfig without secrets: callers log in with their own account."""

    def __init__(
        self,
        name: str,
        args: EksClusterArgs,
        opts: pulumi.ResourceOptions | None = None,
        *,
        network: eks_network.Network | None = None,
        cluster: pulumi.Input[str] | None = None,
    ) -> None:
        of = refused(lambda: _checked(args["eks"], network))
        self.monitoring = refused(lambda: parse.part(Monitoring, dict(args.get("monitoring", {})), "monitoring"))
        super().__init__(token("EksCluster"), name, {}, opts)
        self.labels: Mapping[str, str] = args.get("labels", {})
        self.pod_annotations: Mapping[str, str] = args.get("pod_annotations", {})
        self.zones = of.zones
        self.spec = TargetSpec(kind="eks", eks=of)
        self._plugins: dict[str, pulumi.Resource] = {}
        self._attached: dict[tuple[str, bool], Attached] = {}
        tags = args.get("billing", {})
        amazon = aws.Provider(
            f"{name}-amazon",
            region=of.region,
            allowed_account_ids=[of.account],
            default_tags=aws.ProviderDefaultTagsArgs(tags=tags) if tags else None,
            opts=child(self),
        )
        self._around = eks_keys.Surroundings(name, prefix(name), of, tags, amazon, self)
        given = _existing(of)
        self._network = network or given or eks_network.make(self._around, self._key)
        found = cluster if cluster is not None else found_cluster(of.cluster, "target.eks.cluster")
        ready: Sequence[pulumi.Resource] = ()
        if found is None:
            made = eks_cluster.make(self._around, self._network, self._key)
            self._cluster, self._nodes, ready = made.cluster, made.nodes, made.ready
        else:
            self._cluster, self._nodes = self._found(found)
        self.cluster_name = self._cluster.name
        self.kubeconfig = eks_cluster.kubeconfig(self._around, self._cluster)
        self.provider = k8s.Provider(
            f"{name}-kubernetes",
            kubeconfig=self.kubeconfig,
            cluster_identifier=self._cluster.arn,
            enable_server_side_apply=True,
            opts=child(self, depends_on=list(ready)),
        )
        own = child(self, provider=self.provider)
        self.storage_class = args.get("storage_class") or eks_volumes.fast(self._around, own)
        namespace = namespaced(self, name, args.get("namespace", "modelberth"), own)
        self.namespace = namespace.metadata.name  # type: ignore[reportAttributeAccessIssue]
        register(self)

    @cached_property
    def _key(self) -> eks_keys.Key:
        """The key, once: nothing is made of it until a cluster, a network or a bucket that is made uses it."""
        return eks_keys.key(self._around)

    def _found(self, name: pulumi.Input[str]) -> tuple[aws.eks.Cluster, eks_cluster.Nodes]:
        around = self._around
        cluster = aws.eks.Cluster.get(f"{around.name}-cluster", name, opts=child(self, provider=around.provider))
        if around.of.node_role:
            return cluster, eks_cluster.Nodes(around.of.node_role, around.of.node_role.rpartition("/")[2], ())
        role, policies = eks_cluster.node_role(around)
        return cluster, eks_cluster.Nodes(role.arn, role.name, tuple(policies))

    @property
    def exports(self) -> Mapping[str, pulumi.Output[str]]:
        """The name of the cluster, which another stack's target may refer to."""
        return {"cluster_name": self.cluster_name}

    def node_pool(self, planned: PoolPlan, parent: pulumi.Resource) -> MadePool:
        """Node groups of a plan, or what Karpenter makes nodes from, and what makes their devices known."""
        if self._around.of.provisioner == "karpenter":
            role, around, network = self._nodes.name, self._around, self._network
            made = eks_karpenter.make(planned, around, self._cluster, network, role, self.provider, parent)
        else:
            made = eks_pools.make(planned, self._around, self._cluster, self._network, self._nodes, parent)
        devices = fabrics.devices(self.spec, planned.machine.id) if planned.several_nodes else None
        return replace(
            made,
            resources=(*made.resources, *self._plugins_of(planned, joined=devices is not None)),
            group_resources=devices.resources if devices else {},
        )

    def _plugins_of(self, planned: PoolPlan, *, joined: bool) -> Iterator[pulumi.Resource]:
        """What makes devices of a pool's nodes known, each installed with the first pool that needs it."""
        of = self._around.of
        if planned.accelerator and of.device_plugin:
            yield self._installed(eks_plugins.NVIDIA)
        if joined and of.efa_plugin:
            yield self._installed(eks_plugins.efa(of.region))

    def _installed(self, plugin: eks_plugins.Plugin) -> pulumi.Resource:
        if plugin.name not in self._plugins:
            self._plugins[plugin.name] = eks_plugins.install(
                plugin, self._around.name, self.labels, eks_pools.TAINT, self, self.provider
            )
        return self._plugins[plugin.name]

    def bucket(
        self, name: str, existing: pulumi.Input[str] | None, labels: Mapping[str, str], parent: pulumi.Resource
    ) -> Bucket:
        """A private bucket for weights."""
        if existing is not None:
            return eks_buckets.found(existing)
        return eks_buckets.make(name, labels, self._around, self._key, parent)

    def may_read(
        self, name: str, bucket: Bucket, account: pulumi.Input[str], parent: pulumi.Resource, *, write: bool = False
    ) -> Sequence[pulumi.Resource]:
        """A role on one bucket for one ServiceAccount. One that exists is opened by a key that is named, or none."""
        key = self._key if bucket.made or self._around.of.kms_key else None
        return eks_buckets.may_use(
            name, bucket, self.namespace, account, self._around, self._cluster, key, parent, write=write
        )

    def attach(self, name: str, bucket: Bucket, parent: pulumi.Resource, *, read_only: bool) -> Attached:
        """The bucket as files."""
        if (name, read_only) not in self._attached:
            self._attached[name, read_only] = eks_buckets.attach(
                name, bucket, self.namespace, self.labels, self.provider, self._around, parent, read_only=read_only
            )
        return self._attached[name, read_only]


def _checked(said: Mapping[str, Any], network: eks_network.Network | None) -> Eks:
    """What the arguments say; raises Refused for zones that a program's network has no subnet in."""
    of = parse.part(Eks, dict(said), "target.eks")
    missing = [zone for zone in of.zones if network and zone not in network.subnets]
    if missing:
        message = f"the network that was given has no subnet in {', '.join(missing)}"
        raise Refused([Finding("zone", "target.eks.zones", message, "zones that it has, or a subnet in each")])
    return of


def _existing(of: Eks) -> eks_network.Network | None:
    """The network that the spec names."""
    return eks_network.Network(of.network.vpc, of.network.subnets) if of.network else None
