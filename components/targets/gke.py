"""A cluster on Google Kubernetes Engine, made or found, with its GPU pools, buckets and identities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import pulumi
import pulumi_gcp as gcp
import pulumi_kubernetes as k8s

from modelberth import parse
from modelberth.parts import Monitoring
from modelberth.pools import PoolPlan
from modelberth.targets import Gke
from modelberth.targets import Target as TargetSpec

from ..naming import token
from ..options import child, refused, register
from . import gke_buckets, gke_cluster, gke_network, gke_pools
from .base import Attached, Bucket, IdentityServer, MadePool, ManagedClusterArgs, Target, found_cluster, namespaced
from .names import prefix


class GkeClusterArgs(ManagedClusterArgs):
    """The cluster and what to call things in it."""

    gke: Mapping[str, Any]
    """What modelberth:target says under gke."""


class GkeCluster(Target):
    """A private regional cluster with a system pool; GPU pools, buckets and grants are made as plans ask for them."""

    makes_pools = True
    node_labels = "gcp"
    identity_servers = (IdentityServer("169.254.169.254/32", (80, 988, 8080)),)
    """GKE's metadata server (cloud.google.com/kubernetes-engine/docs/how-to/workload-identity, network policies)."""

    cluster_name: pulumi.Output[str]
    """Name of the cluster."""
    kubeconfig: pulumi.Output[str]
    """A kubeconfig without secrets: callers log in with their own account."""

    def __init__(
        self,
        name: str,
        args: GkeClusterArgs,
        opts: pulumi.ResourceOptions | None = None,
        *,
        network: gke_network.Network | None = None,
        cluster: pulumi.Input[str] | None = None,
    ) -> None:
        of = refused(lambda: parse.part(Gke, dict(args["gke"]), "target.gke"))
        self.monitoring = refused(lambda: parse.part(Monitoring, dict(args.get("monitoring", {})), "monitoring"))
        super().__init__(token("GkeCluster"), name, {}, opts)
        self.storage_class = args.get("storage_class")
        self.labels: Mapping[str, str] = args.get("labels", {})
        self.pod_annotations: Mapping[str, str] = args.get("pod_annotations", {})
        self.zones = of.zones
        self.spec = TargetSpec(kind="gke", gke=of)
        google = gcp.Provider(f"{name}-google", project=of.project, region=of.region, opts=child(self))
        self._around = gke_cluster.Surroundings(name, prefix(name), of, args.get("billing", {}), google, self)
        account, roles = gke_cluster.nodes_account(self._around)
        self._nodes = account.email
        found = cluster if cluster is not None else found_cluster(of.cluster, "target.gke.cluster")
        self._encrypts = ("weights",) if found is not None else tuple(gke_cluster.KEY_USERS)
        if found is None:
            self._cluster, self._after = self._made(network, account, roles)
        else:
            self._cluster, self._after = self._found(found), tuple(roles)
        self.cluster_name = self._cluster.name
        self.kubeconfig = gke_cluster.kubeconfig(self._cluster)
        self.provider = k8s.Provider(
            f"{name}-kubernetes",
            kubeconfig=self.kubeconfig,
            cluster_identifier=self._cluster.id,
            enable_server_side_apply=True,
            opts=child(self, depends_on=list(self._after)),
        )
        own = child(self, provider=self.provider)
        namespace = namespaced(self, name, args.get("namespace", "modelberth"), own)
        self.namespace = namespace.metadata.name  # type: ignore[reportAttributeAccessIssue]
        register(self)

    @cached_property
    def _key(self) -> gke_cluster.Key:
        """The key, once: nothing is made of it until a cluster or a bucket that is made uses it."""
        return gke_cluster.key(self._around, self._encrypts)

    def _made(
        self,
        network: gke_network.Network | None,
        account: gcp.serviceaccount.Account,
        roles: Sequence[pulumi.Resource],
    ) -> tuple[gcp.container.Cluster, tuple[pulumi.Resource, ...]]:
        around, given = self._around, self._around.of.network
        if network is None and given:
            network = gke_network.Network(given.network, given.subnetwork, given.pods_range, given.services_range)
        where = network or gke_network.make(around.name, around.prefix, around.of.region, self, around.provider)
        cluster = gke_cluster.cluster(around, where, self._key, account, roles)
        return cluster, (gke_cluster.system_pool(around, cluster.id, account, around.of.system),)

    def _found(self, name: pulumi.Input[str]) -> gcp.container.Cluster:
        of = self._around.of
        id_ = pulumi.Output.format("projects/{0}/locations/{1}/clusters/{2}", of.project, of.region, name)
        return gcp.container.Cluster.get(
            f"{self._around.name}-cluster", id_, opts=child(self, provider=self._around.provider)
        )

    @property
    def exports(self) -> Mapping[str, pulumi.Output[str]]:
        """The name of the cluster, which another stack's target may refer to."""
        return {"cluster_name": self.cluster_name}

    def node_pool(self, planned: PoolPlan, parent: pulumi.Resource) -> MadePool:
        """Node pools of a plan, and a ComputeClass where there are several."""
        return gke_pools.make(planned, self._around, self._cluster.id, self._nodes, self.provider, parent, self._after)

    def bucket(
        self, name: str, existing: pulumi.Input[str] | None, labels: Mapping[str, str], parent: pulumi.Resource
    ) -> Bucket:
        """A private bucket for weights."""
        if existing is not None:
            return gke_buckets.found(existing)
        return gke_buckets.make(name, labels, self._around, self._key, parent)

    def may_read(
        self, name: str, bucket: Bucket, account: pulumi.Input[str], parent: pulumi.Resource, *, write: bool = False
    ) -> Sequence[pulumi.Resource]:
        """A grant on one bucket to one ServiceAccount."""
        return gke_buckets.may_use(name, bucket, self.namespace, account, self._around, parent, write=write)

    def attach(self, name: str, bucket: Bucket, parent: pulumi.Resource, *, read_only: bool) -> Attached:
        """The bucket as files."""
        return gke_buckets.attach(bucket, read_only=read_only)
