"""What a change of the cloud means for the embedded cluster: node pools have nodes there, if theirs is that cluster."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.providers import cluster, nodes
from tests.providers.cloud import Cloud, Object, State
from tests.providers.node_groups import NodeGroup
from toolchain import crds
from toolchain.kube import Kube

FIELD_MANAGER = "modelberth-stand-in"


class Embedded:
    """The embedded cluster, as one package's provider reaches it; nothing happens where there is none."""

    def __init__(self, own: Any, cloud: Cloud) -> None:
        self._own, self._cloud = own, cloud
        self.say: Callable[[str, str], None] = lambda urn, message: None
        """Tells the engine a remark about a resource."""

    def settle(self, pool: Object, urn: str) -> None:
        """Bring the nodes of a pool to what it says; a cluster that is new serves the kinds of its cloud."""
        if pool.type == self._own.CLUSTER and (path := os.environ.get(cluster.KUBECONFIG_VARIABLE)):
            self._serve(Kube(Path(path)))
        kube = self._kube(pool, state := self._cloud.state())
        if kube is None:
            return
        group = self._group(pool, state)
        remarks = [group] if isinstance(group, str) else nodes.settle(kube, group)
        self._tell(pool, urn, remarks)

    def _serve(self, kube: Kube) -> None:
        for definition in self._own.definitions():
            kube.apply(definition, field_manager=FIELD_MANAGER, force=True)
            crds.served(kube, definition)

    def drain(self, pool: Object, urn: str) -> None:
        """Empty and remove the nodes of a pool that is about to go."""
        kube = self._kube(pool, state := self._cloud.state())
        if kube is None:
            return
        group = self._group(pool, state)
        respects = isinstance(group, str) or group.respects_budgets
        self._tell(pool, urn, nodes.remove(kube, self._owner(pool), respects_budgets=respects))

    def vanish(self, pools: list[Object]) -> None:
        """Remove the nodes of pools that went with their cluster."""
        for pool in pools:
            if (kube := self._kube(pool, self._cloud.state())) is not None:
                nodes.vanish(kube, self._owner(pool))

    def _owner(self, pool: Object) -> str:
        return nodes.owner(str(self._cloud.folder.absolute()), pool.id)

    def _group(self, pool: Object, state: State) -> NodeGroup | str:
        return self._own.node_group(self._owner(pool), pool, state)

    def _kube(self, pool: Object, state: State) -> Kube | None:
        path = os.environ.get(cluster.KUBECONFIG_VARIABLE)
        if pool.type != self._own.POOL or not path:
            return None
        home = self._own.cluster_of(pool.inputs, state)
        there = home is not None and home.outputs.get("endpoint", "").endswith(cluster.addresses()["endpoint"])
        return Kube(Path(path)) if there else None

    def _tell(self, pool: Object, urn: str, remarks: list[str]) -> None:
        for each in remarks:
            self.say(urn, f"stand-in: {pool.id}: {each}")
