"""Examples of WH-11 and WH-12."""

from __future__ import annotations

from typing import Any

from modelberth.observed import UNKNOWN
from tests.rules.cases import Case
from tests.rules.samples import vllm
from tests.rules.stacks import APP, made, policy, server

LEVEL = "pod-security.kubernetes.io/enforce"
METADATA = "holds 169.254.169.254"
EVERYWHERE = "lets pods go anywhere"
NOBODY = "no NetworkPolicy of the stack"


def _in(namespace: Any, **more: Any) -> dict[str, Any]:
    workload = server(**more)
    meta = {key: value for key, value in workload["metadata"].items() if key != "namespace"}
    return workload | {"metadata": meta | ({} if namespace is None else {"namespace": namespace})}


def _space(level: Any, name: str = "models") -> dict[str, Any]:
    labels = {} if level is None else {LEVEL: level}
    return made("Namespace", {}, name, namespace=None, labels=labels)


def _ours(**spec: Any) -> tuple[dict[str, Any], ...]:
    return (server(ours=True), policy(ours=True, **spec))


def _to(cidr: Any, *without: Any) -> list[dict[str, Any]]:
    block = {"cidr": cidr} | ({"except": list(without)} if without else {})
    return [{"to": [{"ipBlock": block}], "ports": [{"port": 443}]}]


def _from(peer: Any) -> list[dict[str, Any]]:
    return [{"from": [peer]}]


_DNS = {"port": 53, "protocol": "UDP"}
CASES = (
    Case("WH-11", "a namespace of its own passes", (server(), _space("restricted"))),
    Case("WH-11", "the default namespace is nobody's own", (_in("default"),), "it is in default", advice=True),
    Case(
        "WH-11",
        "the system's namespace is not either",
        (_in("kube-system", kind="StatefulSet"),),
        "kube-system",
        advice=True,
    ),
    Case("WH-11", "ours stop in it", (_in("default", ours=True),), "it is in default"),
    Case("WH-11", "ours say where they are", (_in(None, ours=True),), "says no namespace"),
    Case("WH-11", "a manifest without one may be put anywhere", (_in(None),)),
    Case("WH-11", "an unknown one is open", (_in(UNKNOWN),), "whether", undecided=True, advice=True),
    Case("WH-11", "a namespace without a level lets everything in", (server(ours=True), _space(None)), "has no level"),
    Case("WH-11", "a lower level lets too much in", (server(ours=True), _space("baseline")), "has the level baseline"),
    Case("WH-11", "another's is advised to have one", (server(), _space(None)), "has no level", advice=True),
    Case("WH-11", "an unknown level is open", (server(ours=True), _space(UNKNOWN)), "whether", undecided=True),
    Case("WH-11", "a namespace without models is none of its business", (server(), _space(None, "web"))),
    Case("WH-12", "what our components write passes", _ours()),
    Case("WH-12", "a server without a policy is open to all", (server(),), NOBODY),
    Case("WH-12", "a policy of others does not guard it", (server(), policy({"matchLabels": {"app": "web"}})), NOBODY),
    Case("WH-12", "a policy for all pods does", (server(), policy({}))),
    Case(
        "WH-12",
        "a policy of another namespace does not",
        (server(), policy() | {"metadata": {"namespace": "web"}}),
        NOBODY,
    ),
    Case(
        "WH-12",
        "a policy of another kind may",
        (server(), {"apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy", "spec": {}}),
    ),
    Case(
        "WH-12",
        "an unknown selector is open",
        (server(), policy({"matchLabels": {"app": UNKNOWN}})),
        "whether",
        undecided=True,
    ),
    Case("WH-12", "a Job that downloads is not called by anybody", (server(kind="Job"),)),
    Case("WH-12", "groups are guarded too", (server(kind="LeaderWorkerSet"),), NOBODY),
    Case("WH-12", "egress is to be named", _ours(policyTypes=["Ingress"]), "nothing about Egress"),
    Case("WH-12", "ingress is to be named", _ours(policyTypes=["Egress"]), "nothing about Ingress"),
    Case("WH-12", "rules for egress are about egress", _ours(policyTypes=None)),
    Case("WH-12", "without them egress is open", _ours(policyTypes=None, egress=None), "nothing about Egress"),
    Case(
        "WH-12",
        "two policies may share the directions",
        (server(), policy(policyTypes=["Ingress"], egress=None), policy(policyTypes=["Egress"], ingress=None)),
    ),
    Case(
        "WH-12",
        "a rule without callers lets everybody in",
        _ours(ingress=[{"ports": [{"port": 8000}]}]),
        "lets everybody in",
    ),
    Case("WH-12", "no rule lets nobody in", _ours(ingress=[])),
    Case(
        "WH-12", "every address is no name", _ours(ingress=_from({"ipBlock": {"cidr": "0.0.0.0/0"}})), "every address"
    ),
    Case("WH-12", "a range is", _ours(ingress=_from({"ipBlock": {"cidr": "10.0.0.0/8"}}))),
    Case("WH-12", "every namespace is no name", _ours(ingress=_from({"namespaceSelector": {}})), "every namespace"),
    Case(
        "WH-12",
        "some pods of every namespace are",
        _ours(ingress=_from({"namespaceSelector": {}, "podSelector": {"matchLabels": APP}})),
    ),
    Case("WH-12", "a rule without destinations goes anywhere", _ours(egress=[{}]), EVERYWHERE),
    Case("WH-12", "one for DNS does not", _ours(egress=[{"ports": [_DNS]}])),
    Case("WH-12", "one port beside DNS does", _ours(egress=[{"ports": [_DNS, {"port": 443}]}]), EVERYWHERE),
    Case(
        "WH-12", "a range of ports from DNS on does", _ours(egress=[{"ports": [_DNS | {"endPort": 65535}]}]), EVERYWHERE
    ),
    Case(
        "WH-12",
        "everywhere but the metadata passes",
        _ours(egress=_to("0.0.0.0/0", "169.254.169.254/32")),
        boundary=True,
    ),
    Case(
        "WH-12",
        "everywhere but its neighbour does not",
        _ours(egress=_to("0.0.0.0/0", "169.254.169.253/32")),
        METADATA,
        boundary=True,
    ),
    Case("WH-12", "everywhere holds the metadata", _ours(egress=_to("0.0.0.0/0")), METADATA),
    Case("WH-12", "the whole range may be left out", _ours(egress=_to("0.0.0.0/0", "169.254.0.0/16"))),
    Case("WH-12", "the address itself is not allowed", _ours(egress=_to("169.254.169.254/32")), METADATA),
    Case(
        "WH-12",
        "the server that gives pods an identity may be reached",
        _ours(egress=[{**_to("169.254.169.254/32")[0], "ports": [{"port": 80}, {"port": 988}]}]),
    ),
    Case("WH-12", "another range does not hold it", _ours(egress=_to("10.0.0.0/8"))),
    Case("WH-12", "an unknown range is open", _ours(egress=_to(UNKNOWN)), "whether", undecided=True),
    Case("WH-12", "an unknown exception is open", _ours(egress=_to("0.0.0.0/0", UNKNOWN)), "whether", undecided=True),
    Case("WH-12", "unknown callers are open", _ours(ingress=UNKNOWN), "whether", undecided=True),
    Case("WH-12", "unknown directions are open", _ours(policyTypes=UNKNOWN), "whether", undecided=True),
    Case(
        "WH-12",
        "pods that reach nothing get no weights",
        (server(ours=True), policy(ours=True, egress=[])),
        "they download their weights when they start: none arrive",
    ),
    Case(
        "WH-12",
        "pods with weights on a volume need to reach nothing",
        (server(vllm(env=[{"name": "HF_HUB_OFFLINE", "value": "1"}]), ours=True), policy(ours=True, egress=[])),
    ),
)
