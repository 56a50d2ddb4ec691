"""Probes."""

from __future__ import annotations

from typing import Any

from modelberth.observed import UNKNOWN
from modelberth.rules.base import Profile
from tests.rules.cases import Case
from tests.rules.pods import bare, ours, probe, probes, server, workload
from tests.rules.samples import LLAMA_8B, llamacpp, ollama, sglang, tgi, vllm

MODEL = ("--model", LLAMA_8B)
TRITON = {
    "name": "server",
    "image": "nvcr.io/nvidia/tritonserver:26.07-trtllm-python-py3",
    "command": ["tritonserver"],
    "args": ["--model-repository", "/app/all_models/llmapi"],
}
TRTLLM = {
    "name": "server",
    "image": "nvcr.io/nvidia/tensorrt-llm/release:1.2.1",
    "command": ["trtllm-serve", "serve", LLAMA_8B],
}
LIVE = probe(path="/v2/health/live", periodSeconds=30)
KEY = {"name": "VLLM_API_KEY", "valueFrom": {"secretKeyRef": {"name": "chat", "key": "token"}}}


def asked(container: dict[str, Any], port: Any = 8000, path: Any = "/health", **more: Any) -> dict[str, Any]:
    """A server of someone else's whose three probes ask the same place."""
    return bare(container | probes(port, path) | more)


def at(handler: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The same with another question for readiness."""
    return bare(vllm() | probes() | {"readinessProbe": handler} | more)


def scheme(name: Any, *flags: str) -> dict[str, Any]:
    handler = {"path": "/health", "port": 8000, "scheme": name}
    return bare(vllm(*MODEL, *flags) | {kind: probe_ | {"httpGet": handler} for kind, probe_ in probes().items()})


def without(*kinds: str, made: Any = bare) -> dict[str, Any]:
    return made({key: value for key, value in server().items() if key not in kinds})


OTHERS = {
    "SGLang": sglang("--model-path", LLAMA_8B, "--host", "::"),
    "llama-server": llamacpp(),
    "Ollama": ollama(),
    "TGI": tgi(),
    "TensorRT-LLM": TRTLLM | {"args": ["--host", "::"]},
    "Triton": TRITON,
}
PLACES = {
    "SGLang": (30000, "/health"),
    "llama-server": (8080, "/health"),
    "Ollama": (11434, "/"),
    "TGI": (80, "/health"),
    "TensorRT-LLM": (8000, "/health"),
    "Triton": (8000, "/v2/health/ready"),
}
WRONG_PATHS = dict.fromkeys(OTHERS, "/healthz") | {"Ollama": "/health", "Triton": "/health"}

CASES: tuple[Case, ...] = (
    Case("WH-01", "three probes of vLLM pass", (workload(), ours(), asked(vllm()))),
    *(Case("WH-01", f"three probes of {name} pass", (asked(of, *PLACES[name]),)) for name, of in OTHERS.items()),
    *(
        Case(
            "WH-01",
            f"{name} serves no such path",
            (asked(of, PLACES[name][0], WRONG_PATHS[name]),),
            "serves no such path",
        )
        for name, of in OTHERS.items()
    ),
    *(
        Case(
            "WH-01", f"{name} listens elsewhere", (asked(of, 9, PLACES[name][1]),), "asks port 9, the server listens on"
        )
        for name, of in OTHERS.items()
    ),
    Case("WH-01", "the port of the arguments passes", (asked(vllm(*MODEL, "--port", "9000"), 9000),), boundary=True),
    Case(
        "WH-01",
        "one port beside that of the arguments is wrong",
        (asked(vllm(*MODEL, "--port", "9000"), 9001),),
        "asks port 9001, the server listens on 9000",
        boundary=True,
    ),
    Case("WH-01", "Ollama's port is that of its variable", (asked(ollama(OLLAMA_HOST="0.0.0.0:8080"), 8080, "/"),)),
    Case("WH-01", "TGI's port is that of its variable", (asked(tgi(env={"PORT": "8080"}), 8080),)),
    Case(
        "WH-01",
        "a name of the container's ports passes",
        (asked(vllm(ports=[{"name": "api", "containerPort": 8000}]), "api"),),
    ),
    Case(
        "WH-01",
        "a name that no port has fails",
        (asked(vllm(ports=[{"name": "api", "containerPort": 8000}]), "http"),),
        "names no port of the container",
    ),
    Case(
        "WH-01",
        "a name of another port fails",
        (asked(vllm(ports=[{"name": "http", "containerPort": 8080}]), "http"),),
        "asks port 8080, the server listens on 8000",
    ),
    Case("WH-01", "a number in quotes is refused", (asked(vllm(), "8000"),), "the number, without quotes"),
    Case("WH-01", "ports end at 65535", (asked(vllm(*MODEL, "--port", "65535"), 65535),), boundary=True),
    Case("WH-01", "65536 is no port", (asked(vllm(), 65536),), "is no port", boundary=True),
    Case(
        "WH-01",
        "a name that is not known yet may be wrong",
        (asked(vllm(ports=UNKNOWN), "http"),),
        "cannot decide",
        undecided=True,
    ),
    Case(
        "WH-01",
        "a sidecar may listen where the server does not",
        (bare(vllm() | probes(9000), {"name": "proxy", "image": "nginx:1.29"}),),
    ),
    Case(
        "WH-01",
        "a sidecar that starts before may listen too",
        (
            bare(
                vllm() | probes(9000),
                initContainers=[{"name": "proxy", "image": "nginx:1.29", "restartPolicy": "Always"}],
            ),
        ),
    ),
    Case(
        "WH-01",
        "an init container that ends listens nowhere",
        (bare(vllm() | probes(9000), initContainers=[{"name": "get", "image": "x:1"}]),),
        "asks port 9000",
    ),
    Case(
        "WH-01",
        "a script may start more than the server",
        (asked(vllm(command=["bash", "-c", f"vllm serve {LLAMA_8B} & exec nginx"], args=[]), 9000),),
        "asks port 9000",
        advice=True,
    ),
    Case("WH-01", "a port from the environment is not known", (asked(vllm(*MODEL, "--port", "$(PORT)"), 9000),)),
    Case(
        "WH-01",
        "SGLang listens for itself when nothing is said",
        (asked(sglang("--model-path", LLAMA_8B), 30000),),
        "the server listens on 127.0.0.1 only",
    ),
    Case("WH-01", "vLLM may be told to", (asked(vllm(*MODEL, "--host", "localhost")),), "listens on 127.0.0.1 only"),
    Case(
        "WH-01",
        "a command inside the container reaches it",
        (at({"exec": {"command": ["curl", "localhost:8000/health"]}}),),
    ),
    Case(
        "WH-01",
        "localhost is the node",
        (at({"httpGet": {"path": "/health", "port": 8000, "host": "127.0.0.1"}}),),
        "the kubelet asks its own node there",
    ),
    Case("WH-01", "HTTPS passes for a server with a certificate", (scheme("HTTPS", "--ssl-certfile", "/tls/tls.crt"),)),
    Case(
        "WH-01",
        "HTTP fails for it",
        (scheme("HTTP", "--ssl-certfile", "/tls/tls.crt"),),
        "the server speaks HTTPS only",
    ),
    Case("WH-01", "HTTPS fails for any other", (scheme("HTTPS"),), "the server speaks HTTP only"),
    Case(
        "WH-01", "a list of models needs the API key", (asked(vllm(env=[KEY]), path="/v1/models"),), "answers 401 there"
    ),
    Case("WH-01", "without a key it does not", (asked(vllm(), path="/v1/models"),)),
    Case(
        "WH-01",
        "with a header it passes",
        (
            at(
                {
                    "httpGet": {
                        "path": "/v1/models",
                        "port": 8000,
                        "httpHeaders": [{"name": "Authorization", "value": "x"}],
                    }
                },
                env=[KEY],
            ),
        ),
    ),
    Case(
        "WH-01",
        "a path that nobody knows is advised against",
        (asked(vllm(), path="/alive"),),
        "is known to serve",
        advice=True,
    ),
    Case("WH-01", "a path with a slash behind it is the same", (asked(vllm(), path="/health/?x=1"),)),
    Case("WH-01", "a middleware may serve any path", (asked(vllm(*MODEL, "--middleware", "a.b"), path="/healthz"),)),
    Case(
        "WH-01",
        "a probe that passes while the model loads is advised against",
        (
            bare(
                TRITON | {"startupProbe": LIVE, "readinessProbe": LIVE, "livenessProbe": LIVE | {"failureThreshold": 9}}
            ),
        ),
        "passes before the model is loaded",
        advice=True,
    ),
    Case(
        "WH-01",
        "an open port says nothing about llama-server",
        (bare(llamacpp(readinessProbe={"tcpSocket": {"port": 8080}})),),
        "passes before the model is loaded",
        advice=True,
    ),
    Case(
        "WH-01",
        "an open port says that vLLM is ready",
        (bare(vllm() | probes() | {"readinessProbe": {"tcpSocket": {"port": 8000}}}),),
    ),
    Case(
        "WH-01",
        "Triton listens on a port for gRPC too",
        (bare(TRITON | probes(8000, "/v2/health/ready") | {"livenessProbe": {"tcpSocket": {"port": 8001}}}),),
    ),
    Case(
        "WH-01",
        "liveness must be more patient than readiness",
        (bare(vllm() | probes() | {"livenessProbe": probe(), "readinessProbe": probe(failureThreshold=3)}),),
        "a server that is only busy is restarted",
        advice=True,
        boundary=True,
    ),
    Case(
        "WH-01",
        "one failure more is more patient",
        (bare(vllm() | probes() | {"livenessProbe": probe(failureThreshold=4), "readinessProbe": probe()}),),
        boundary=True,
    ),
    Case("WH-01", "a missing probe is advice to others", (without("livenessProbe"),), "no livenessProbe", advice=True),
    Case(
        "WH-01",
        "a missing probe stops what our components wrote",
        (without("startupProbe", made=ours),),
        "startupProbe: httpGet /health on port 8000",
    ),
    Case(
        "WH-01",
        "it is advice in profile dev",
        (without("startupProbe", made=ours),),
        "no startup",
        advice=True,
        profile=Profile.DEV,
    ),
    Case("WH-01", "a Job needs no probes", (workload(vllm(), kind="Job"),)),
    Case("WH-01", "a helper of a group needs no probes", (bare(vllm(*MODEL, "--headless", "--nnodes", "2")),)),
    Case("WH-01", "a probe without a question is refused", (at({"periodSeconds": 5}),), "asks no question"),
    Case(
        "WH-01",
        "a probe with two is refused",
        (at(probe() | {"exec": {"command": ["true"]}}),),
        "more than one question",
    ),
    Case(
        "WH-01",
        "two successes are refused for liveness",
        (bare(vllm() | probes() | {"livenessProbe": probe(successThreshold=2)}),),
        "successThreshold: 1",
    ),
    Case("WH-01", "two successes pass for readiness", (at(probe(successThreshold=2)),)),
    *(
        Case("WH-01", f"a {kind} is looked at", (workload(server(**probes(9000)), kind=kind),), "asks port 9000")
        for kind in ("StatefulSet", "LeaderWorkerSet", "Pod")
    ),
    Case(
        "WH-01",
        "a sidecar's names are looked at",
        (workload(server(), {"name": "proxy", "image": "x:1", "livenessProbe": probe("http")}),),
        "containers[1].livenessProbe.httpGet.port: names no port",
    ),
    Case("WH-01", "an unknown probe is a doubt", (at(UNKNOWN),), "cannot decide", undecided=True),
    Case("WH-01", "an unknown port is a doubt", (asked(vllm(), UNKNOWN),), "cannot decide", undecided=True),
    Case("WH-01", "an unknown path is a doubt", (asked(vllm(), path=UNKNOWN),), "cannot decide", undecided=True),
    Case(
        "WH-01",
        "an unknown port of the server is a doubt",
        (asked(vllm(*MODEL, "--port", UNKNOWN)),),
        "args[3]: cannot decide whether the probes ask where the server answers",
        undecided=True,
    ),
    Case("WH-01", "words where probes belong raise nothing", (bare(vllm(livenessProbe="often")),), "asks no question"),
    Case(
        "WH-01",
        "a figure below 0 is refused",
        (at(probe(initialDelaySeconds=-1)),),
        "initialDelaySeconds is less than 0",
    ),
    Case(
        "WH-01",
        "gRPC is no question for a server of HTTP",
        (at({"grpc": {"port": 8000}}),),
        "vLLM speaks HTTP only at this port",
    ),
    Case(
        "WH-01",
        "gRPC at a port of gRPC passes",
        (bare(vllm(*MODEL, "--grpc") | probes() | {"readinessProbe": {"grpc": {"port": 8000}}}),),
    ),
    Case("WH-01", "an unknown scheme is a doubt", (scheme(UNKNOWN),), "cannot decide", undecided=True),
)
