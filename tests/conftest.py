"""Fixtures that tests of more than one directory share."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from toolchain.cluster import Cluster, down, up
from toolchain.kube import Kube

NODES = Path(__file__).resolve().parents[1] / "toolchain" / "clusters" / "local.yaml"


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One embedded cluster for the whole run, with the nodes of the default one."""
    state = tmp_path_factory.mktemp("embedded") / "cluster"
    try:
        yield up(state, NODES)
    finally:
        down(state, purge=True)


@pytest.fixture(scope="session")
def kube(cluster: Cluster) -> Kube:
    """The API of the shared cluster, as its administrator."""
    return Kube(cluster.kubeconfig)


@pytest.fixture
def namespace(kube: Kube) -> Iterator[str]:
    """A namespace of the shared cluster for one test, with its service account in place."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    kube.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
    kube.wait(lambda: kube.find(account), what=f"the service account of {name}")
    yield name
    kube.delete(f"/api/v1/namespaces/{name}")
