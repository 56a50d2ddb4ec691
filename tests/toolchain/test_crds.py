"""Definitions of add-ons, as their modules ship them, in the real API server."""

import pytest

from toolchain import build, crds
from toolchain.kube import Kube

pytestmark = pytest.mark.engine

KINDS = {
    "envoy-gateway": ("gateway.envoyproxy.io/v1alpha1", "SecurityPolicy"),
    "gateway-api": ("gateway.networking.k8s.io/v1", "HTTPRoute"),
    "karpenter": ("karpenter.sh/v1", "NodePool"),
    "keda": ("keda.sh/v1alpha1", "ScaledObject"),
    "lws": ("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet"),
    "prometheus-operator": ("monitoring.coreos.com/v1", "PodMonitor"),
}


def test_every_add_on_has_a_kind_to_look_for_here() -> None:
    assert set(KINDS) == set(build.PARTS["crds"].extras)


@pytest.mark.parametrize("add_on", KINDS)
def test_the_api_server_serves_what_an_add_on_defines(kube: Kube, add_on: str) -> None:
    crds.install(kube, add_on)
    version, kind = KINDS[add_on]
    assert kind in {resource["kind"] for resource in kube.get(f"/apis/{version}")["resources"]}


def test_an_add_on_that_is_not_pinned_is_refused_with_those_that_are() -> None:
    with pytest.raises(
        build.BuildError, match=r"No such add-on: istio\. Add-ons: envoy-gateway, gateway-api, karpenter, keda, lws"
    ):
        crds.definitions("istio")
