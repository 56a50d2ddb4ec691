"""Examples of the rule about providers."""

from __future__ import annotations

from modelberth.resources import Options
from tests.rules.cases import Case
from tests.rules.samples import deployment, vllm

_URN = "urn:pulumi:prod::project::pulumi:providers:"
_SERVER = {"apiVersion": "apps/v1", **deployment(vllm())}
_CLUSTER = ("aws:eks/cluster:Cluster", {})
_WHEREVER = "options.provider: goes to whatever"


def by(name: str) -> Options:
    return Options(provider=_URN + name)


CASES = (
    Case("CS-22", "an explicit provider is fine", (_SERVER, _CLUSTER), options=by("kubernetes::models")),
    Case("CS-22", "the default provider is refused", (_SERVER,), _WHEREVER, options=by("kubernetes::default_4_25_0")),
    Case("CS-22", "one without a version is the default too", (_CLUSTER,), _WHEREVER, options=by("aws::default")),
    Case(
        "CS-22",
        "one from another place is the default too",
        (_CLUSTER,),
        _WHEREVER,
        options=by("aws::default_7_51_1_https_/x"),
    ),
    Case("CS-22", "a name that begins so is a name", (_CLUSTER,), options=by("aws::default-frankfurt")),
    Case("CS-22", "what is not told is no finding", (_SERVER, _CLUSTER)),
    Case(
        "CS-22",
        "what reaches no cloud is fine",
        (("random:index/randomPassword:RandomPassword", {}),),
        options=by("random::default_4_18_0"),
    ),
)
