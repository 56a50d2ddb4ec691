"""Examples of WH-14."""

from __future__ import annotations

from typing import Any

from modelberth.observed import UNKNOWN
from tests.rules.cases import Case
from tests.rules.samples import QWEN_7B, vllm
from tests.rules.stacks import APP, autoscaler, budget, policy, server, service

NOTHING = "selects no pod of the stack"
LWS = "leaderworkerset.sigs.k8s.io"


def _other(**more: Any) -> dict[str, Any]:
    """A server of another model with one label in common."""
    container = vllm("--model", QWEN_7B, "--max-model-len", "8192")
    return server(container, name="code", labels={"app": "code", "tier": "gpu"}, **more)


def _web(**more: Any) -> dict[str, Any]:
    return server({"name": "web", "image": "nginx:1.29"}, name="web", labels={"app": "web", "tier": "gpu"}, **more)


_TIER = {"tier": "gpu"}
_BOTH = APP | _TIER
_NAMED = [{"port": 80, "targetPort": "http"}]
_HTTP = {"ports": [{"name": "http", "containerPort": 8000}]}
CASES = (
    Case("WH-14", "everything that names the server passes", (server(), service(), budget(), policy(), autoscaler())),
    Case(
        "WH-14",
        "a Service that nothing answers stops",
        (server(), service({"app": "chat-server"})),
        f"this Service {NOTHING}",
    ),
    Case(
        "WH-14",
        "one beside another that is right is advice",
        (server(), service(), service({"app": "web"}, "web")),
        NOTHING,
        advice=True,
    ),
    Case(
        "WH-14",
        "one of ours stops in any case",
        (server(), service(), service({"app": "web"}, "web", ours=True)),
        NOTHING,
    ),
    Case(
        "WH-14",
        "one in another namespace is none of its business",
        (server(), service({"app": "web"}) | {"metadata": {"name": "web", "namespace": "web"}}),
    ),
    Case(
        "WH-14",
        "one whose namespace the server does not state is advice",
        (
            server() | {"metadata": {"name": "chat"}},
            service({"app": "web"}) | {"metadata": {"name": "w", "namespace": "w"}},
        ),
        NOTHING,
        advice=True,
    ),
    Case(
        "WH-14",
        "one whose namespace will be stops",
        (server(), service({"app": "web"}) | {"metadata": {"name": "w", "namespace": UNKNOWN}}),
        NOTHING,
    ),
    Case("WH-14", "one without a selector is filled by hand", (server(), service({}))),
    Case("WH-14", "a stack without models is none of its business", (_web(), service({"app": "other"}))),
    Case("WH-14", "an unknown selector is open", (server(), service({"app": UNKNOWN})), "whether", undecided=True),
    Case(
        "WH-14",
        "unknown labels of the pods are open",
        (server(labels={"app": UNKNOWN}), service()),
        "whether",
        undecided=True,
    ),
    Case(
        "WH-14",
        "a label that a controller makes up is not open",
        (server(kind="StatefulSet"), service({"statefulset.kubernetes.io/pod-name": "chat-0"})),
    ),
    Case(
        "WH-14",
        "the leader of a group is selected by its index",
        (server(kind="LeaderWorkerSet"), service(APP | {f"{LWS}/worker-index": "0"})),
    ),
    Case(
        "WH-14",
        "two models behind one of our Services stop",
        (server(labels=_BOTH), _other(), service(_TIER, ours=True)),
        "the pods of 2 models",
    ),
    Case(
        "WH-14",
        "two models behind another's are advised against",
        (server(labels=_BOTH), _other(), service(_TIER)),
        "the pods of 2 models",
        advice=True,
    ),
    Case(
        "WH-14",
        "a headless Service may list all servers",
        (server(labels=_BOTH), _other(), service(_TIER, clusterIP="None")),
    ),
    Case(
        "WH-14",
        "two workloads of one model may share a Service",
        (server(labels=_BOTH), server(name="canary", labels=_TIER), service(_TIER)),
    ),
    Case(
        "WH-14",
        "servers and others behind one of our Services stop",
        (server(labels=_BOTH), _web(), service(_TIER, ours=True)),
        "pods that do not",
    ),
    Case("WH-14", "a port by name is a container's", (server(vllm(**_HTTP)), service(ports=_NAMED))),
    Case(
        "WH-14", "a port by name that no container has leads nowhere", (server(), service(ports=_NAMED)), "no container"
    ),
    Case(
        "WH-14",
        "a port of a sidecar counts",
        (server(vllm(), {"name": "proxy", "image": "envoy:1", **_HTTP}), service(ports=_NAMED)),
    ),
    Case(
        "WH-14",
        "a number that nothing listens at leads nowhere",
        (server(), service(ports=[{"port": 80}])),
        "takes its requests at 8000",
    ),
    Case(
        "WH-14",
        "a number that the arguments name passes",
        (server(vllm("--model", QWEN_7B, "--port", "80")), service(ports=[{"port": 80}])),
    ),
    Case(
        "WH-14",
        "a number beside a sidecar is not known to be wrong",
        (server(vllm(), {"name": "proxy", "image": "envoy:1"}), service(ports=[{"port": 80}])),
    ),
    Case(
        "WH-14",
        "an unknown port is open",
        (server(), service(ports=[{"port": 80, "targetPort": UNKNOWN}])),
        "whether",
        undecided=True,
    ),
    Case(
        "WH-14",
        "a budget for nothing stops",
        (server(), budget({"matchLabels": {"app": "chats"}})),
        f"this PodDisruptionBudget {NOTHING}",
    ),
    Case(
        "WH-14",
        "a workload whose name comes later is open",
        (server(name=UNKNOWN), autoscaler("chat")),
        "whether",
        undecided=True,
    ),
    Case("WH-14", "a budget for all pods of the namespace passes", (server(), budget({}))),
    Case(
        "WH-14",
        "a budget that is open is open",
        (server(), budget({"matchLabels": {"app": UNKNOWN}})),
        "whether",
        undecided=True,
    ),
    Case("WH-14", "an autoscaler of nobody stops", (server(), autoscaler("chats")), "no Deployment of this name"),
    Case(
        "WH-14",
        "a ScaledObject of nobody stops",
        (server(), autoscaler("chats", "ScaledObject")),
        "no Deployment of this name",
    ),
    Case(
        "WH-14",
        "an autoscaler of another kind is none of its business",
        (server(), autoscaler("db", target="StatefulSet")),
    ),
    Case("WH-14", "an autoscaler that names nothing is refused", (server(), autoscaler("")), "names nothing"),
    Case("WH-14", "a name that Pulumi makes up is recognised", (server(name=None), autoscaler("r0-1a2b3c4d"))),
    Case(
        "WH-14",
        "a name that it would not make up is not",
        (server(name=None), autoscaler("chat")),
        "no Deployment of this name",
    ),
    Case(
        "WH-14", "a target that comes from nowhere is open", (server(), autoscaler(UNKNOWN)), "whether", undecided=True
    ),
    Case(
        "WH-14",
        "a caller that is not there is told",
        (server(), policy(ingress=[{"from": [{"podSelector": {"matchLabels": {"app": "gateway"}}}]}])),
        "no pod of this namespace",
        advice=True,
    ),
    Case(
        "WH-14",
        "callers of other namespaces are not looked for",
        (server(), policy(ingress=[{"from": [{"podSelector": {"matchLabels": {"a": "b"}}, "namespaceSelector": {}}]}])),
    ),
    Case(
        "WH-14",
        "a port that only begins like the server's is nothing",
        (server(vllm(ports=[{"containerPort": 8000}])), service(ports=[{"port": 80}])),
        "nothing listens at 80",
    ),
    Case(
        "WH-14",
        "an unknown right of the container hides no port",
        (server(vllm(securityContext=UNKNOWN)), service(ports=[{"port": 80}])),
        "nothing listens at 80",
    ),
)
