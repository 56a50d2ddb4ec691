"""The clusters that the stand-ins make are the embedded cluster: the Kubernetes half of a stack lands there."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest

from tests.providers.conftest import Project
from toolchain.cluster import Cluster
from toolchain.kube import Kube

pytestmark = pytest.mark.engine


def test_kubeconfigs_with_the_clouds_own_logins_reach_the_embedded_cluster(
    make_project: Callable[..., Project], cluster: Cluster, kube: Kube
) -> None:
    name = f"test-{uuid.uuid4().hex[:8]}"
    stack = make_project("namespace", cluster.kubeconfig, namespace=name)
    stack.up()
    assert all(kube.find(f"/api/v1/namespaces/{name}-{cloud}") for cloud in ("gke", "eks"))
    stack.up("--expect-no-changes")
    stack.destroy()
    assert not any(kube.find(f"/api/v1/namespaces/{name}-{cloud}") for cloud in ("gke", "eks"))
    assert stack.cloud.objects() == []
