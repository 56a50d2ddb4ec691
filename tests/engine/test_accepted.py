"""The real API server accepts every object that the goldens render, in its definitions and its Pod Security level."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from tests.judges.test_manifests import STACKS, manifests
from toolchain import crds
from toolchain.kube import Kube, KubeError, Manifest

pytestmark = pytest.mark.engine

NOT_INSTALLED = {
    "cloud.google.com/v1": "definitions that only GKE has",
    "networking.gke.io/v1": "definitions that only GKE has",
}
"""API groups whose definitions no module publishes, with what they are."""

PLUGIN = "nvidia-device-plugin"
"""What tells nodes of their GPUs: it runs in a namespace of its own, which is not restricted."""


@pytest.fixture(scope="module")
def served(kube: Kube) -> Kube:
    """The shared cluster with the definitions of every add-on."""
    crds.install(kube, "envoy-gateway", "gateway-api", "keda", "lws", "prometheus-operator")
    return kube


@pytest.fixture
def restricted(kube: Kube, namespace: str) -> str:
    """A namespace with the Pod Security level that our own namespaces have."""
    live = kube.get(f"/api/v1/namespaces/{namespace}")
    labels = {**live["metadata"]["labels"], "pod-security.kubernetes.io/enforce": "restricted"}
    kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}})
    return namespace


def placed_in(namespace: str, stack: str) -> Iterator[Manifest]:
    """Objects of a golden in another namespace; those of an API that is not installed are left out."""
    for manifest in manifests(stack):
        moved: Manifest = copy.deepcopy(manifest)
        if moved["kind"] != "Namespace" and moved["apiVersion"] not in NOT_INSTALLED:
            moved["metadata"]["namespace"] = namespace
            yield moved


def templates_of(manifest: Manifest) -> list[dict[str, Any]]:
    """The pod templates of a workload, none for anything else."""
    spec = manifest.get("spec", {})
    group = spec.get("leaderWorkerTemplate", {})
    found = (spec.get("template"), group.get("leaderTemplate"), group.get("workerTemplate"))
    return [template for template in found if template]


@pytest.mark.parametrize("stack", STACKS)
def test_every_object_is_accepted_as_it_is_rendered(served: Kube, restricted: str, stack: str) -> None:
    for manifest in placed_in(restricted, stack):
        served.apply(manifest, dry_run=True)


def pod_of(template: dict[str, Any], namespace: str) -> Manifest:
    """A pod of this template; the account that it names is an object of the same golden, and left out."""
    spec = {name: value for name, value in template["spec"].items() if name != "serviceAccountName"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "judged", "namespace": namespace}, "spec": spec}


@pytest.mark.parametrize("stack", STACKS)
def test_every_pod_is_admitted_at_the_restricted_level(served: Kube, restricted: str, stack: str) -> None:
    ours = (manifest for manifest in placed_in(restricted, stack) if manifest["metadata"]["name"] != PLUGIN)
    templates = [template for manifest in ours for template in templates_of(manifest)]
    assert templates
    for template in templates:
        served.apply(pod_of(template, restricted), dry_run=True)


def test_a_field_of_the_wrong_type_would_be_refused(served: Kube, restricted: str) -> None:
    scaled = next(m for m in placed_in(restricted, "autoscaled") if m["kind"] == "ScaledObject")
    scaled["spec"]["maxReplicaCount"] = "many"
    with pytest.raises(KubeError, match="maxReplicaCount"):
        served.apply(scaled, dry_run=True)


@pytest.mark.parametrize("kind", ["Gateway", "HTTPRoute", "Ingress", "SecurityPolicy", "BackendTrafficPolicy"])
def test_a_field_that_a_part_of_a_door_does_not_have_would_be_refused(served: Kube, restricted: str, kind: str) -> None:
    part = next(m for m in placed_in(restricted, "exposed") if m["kind"] == kind)
    part["spec"]["lock"] = 1
    with pytest.raises(KubeError, match="lock"):
        served.apply(part, dry_run=True)


def test_a_pod_that_may_become_root_would_be_refused(served: Kube, restricted: str) -> None:
    template = next(m for m in placed_in(restricted, "local") if m["kind"] == "Deployment")["spec"]["template"]
    template["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    with pytest.raises(KubeError, match="allowPrivilegeEscalation"):
        served.apply(pod_of(template, restricted), dry_run=True)
