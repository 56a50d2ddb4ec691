"""What the policy pack costs: judging a thousand resources, and a preview beside one under a pack that says nothing.

Prints figures and targets. The preview is left out where the engine is not built.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count, islice
from pathlib import Path
from typing import Any

import grpc
import yaml
from google.protobuf import json_format, struct_pb2
from pulumi.runtime.proto import analyzer_pb2 as proto
from pulumi.runtime.proto import analyzer_pb2_grpc

from modelberth.rules import ALL
from toolchain import build, engine

ROOT = Path(__file__).resolve().parents[1]
PACK = ROOT / "policies"
JUDGED = 1000
JUDGED_TARGET_S = 3.0
PREVIEWED = 200
PREVIEW_TARGET = 1.25
RUNS = 5
POOL_EVERY = 10

Seen = tuple[str, dict[str, Any]]

EMPTY = '''"""A pack without policies."""
import sys
from concurrent import futures

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import analyzer_pb2, analyzer_pb2_grpc, plugin_pb2


class Analyzer(analyzer_pb2_grpc.AnalyzerServicer):
    def GetPluginInfo(self, request, context):
        return plugin_pb2.PluginInfo(version="0.0.1")

    def GetAnalyzerInfo(self, request, context):
        return analyzer_pb2.AnalyzerInfo(name="empty", supportsConfig=True)

    def Analyze(self, request, context):
        return analyzer_pb2.AnalyzeResponse()

    def AnalyzeStack(self, request, context):
        return analyzer_pb2.AnalyzeResponse()

    def Remediate(self, request, context):
        return analyzer_pb2.RemediateResponse()

    def Configure(self, request, context):
        return empty_pb2.Empty()


server = grpc.server(futures.ThreadPoolExecutor(4))
analyzer_pb2_grpc.add_AnalyzerServicer_to_server(Analyzer(), server)
port = server.add_insecure_port("127.0.0.1:0")
server.start()
print(port, flush=True)
server.wait_for_termination()
'''
PROGRAM = '''"""Registers what is listed; nothing is created."""
import json

import pulumi
import pulumi_kubernetes

provider = pulumi_kubernetes.Provider("rendered", render_yaml_to_directory="rendered")
for index, (kind, properties, timeouts) in enumerate(json.load(open("resources.json"))):
    options = pulumi.ResourceOptions(provider=provider, custom_timeouts=timeouts)
    pulumi.CustomResource(kind, f"r{index}", properties, options)
'''


def vllm(number: int) -> dict[str, Any]:
    """A vLLM container; every one has a context of its own, so that none is sized before."""
    words = ["--model", "meta-llama/Llama-3.1-8B-Instruct", "--max-model-len", str(2048 + number)]
    return {"name": "server", "image": "vllm/vllm-openai:v0.33.0", "args": words, **requests(gpus=1)}


def sglang(number: int) -> dict[str, Any]:
    """An SGLang container."""
    words = ["--model-path", "Qwen/Qwen2.5-7B-Instruct", "--context-length", str(2048 + number)]
    command = {"command": ["python3", "-m", "sglang.launch_server"], "args": [*words, "--mem-fraction-static", "0.85"]}
    return {"name": "server", "image": "lmsysorg/sglang:v0.5.23", **command, **requests(gpus=1)}


def llamacpp(number: int) -> dict[str, Any]:
    """A llama-server container on the node's CPUs."""
    words = ["--model", "/weights/Qwen2.5-7B-Instruct-Q4_K_M.gguf", "--alias", "Qwen/Qwen2.5-7B-Instruct"]
    words += ["--ctx-size", str(4096 + 2 * number), "--parallel", "2"]
    return {"name": "server", "image": "ghcr.io/ggml-org/llama.cpp:server-b11434", "args": words, **requests()}


def requests(gpus: int = 0) -> dict[str, Any]:
    """What a container asks for, and its probes."""
    limits = {"memory": "12Gi", "cpu": "4", "ephemeral-storage": "10Gi"} | ({"nvidia.com/gpu": gpus} if gpus else {})
    probe = {"httpGet": {"path": "/health", "port": 8000}, "periodSeconds": 10, "failureThreshold": 120}
    probes = {"startupProbe": probe, "readinessProbe": probe, "livenessProbe": probe}
    return {"resources": {"limits": limits, "requests": limits}, "ports": [{"containerPort": 8000}], **probes}


def workload(number: int, container: dict[str, Any]) -> Seen:
    """A Deployment of one container."""
    labels = {"app.kubernetes.io/name": f"server-{number}"}
    selector = {"cloud.google.com/gke-accelerator": "nvidia-l4"}
    security = {"runAsNonRoot": True, "runAsUser": 20000, "seccompProfile": {"type": "RuntimeDefault"}}
    volumes = [{"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}}]
    pod = {"containers": [container], "nodeSelector": selector, "securityContext": security, "volumes": volumes}
    template = {"metadata": {"labels": labels}, "spec": pod}
    spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
    return "kubernetes:apps/v1:Deployment", {**named("server", number), "spec": spec}


def named(name: str, number: int) -> dict[str, Any]:
    """Metadata of an object."""
    return {"metadata": {"name": f"{name}-{number}", "namespace": f"team-{number % 10}"}}


def service(number: int) -> Seen:
    """A Service in front of a Deployment."""
    spec = {"selector": {"app.kubernetes.io/name": f"server-{number}"}, "ports": [{"port": 80, "targetPort": 8000}]}
    return "kubernetes:core/v1:Service", {**named("server", number), "spec": spec}


def settings(number: int) -> Seen:
    """A ConfigMap that no rule needs."""
    return "kubernetes:core/v1:ConfigMap", {**named("settings", number), "data": {"a": "b" * 200}}


def claim(number: int) -> Seen:
    """A claim for weights."""
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "40Gi"}}}
    return "kubernetes:core/v1:PersistentVolumeClaim", {**named("weights", number), "spec": spec}


def pool(number: int) -> Seen:
    """A node pool with GPUs."""
    accelerator = {"type": "nvidia-l4", "count": 1}
    taint = {"key": "nvidia.com/gpu", "value": "present", "effect": "NO_SCHEDULE"}
    node = {"machineType": "g2-standard-8", "guestAccelerators": [accelerator], "taints": [taint]}
    bounds = {"minNodeCount": 0, "maxNodeCount": 4}
    inputs = {"name": f"pool-{number}", "cluster": "llm", "autoscaling": bounds, "nodeConfig": node}
    return "gcp:container/nodePool:NodePool", inputs


def mixed() -> Iterator[Seen]:
    """A stack of everything that others wrote: workloads of three engines, what belongs to them, some node pools."""
    for number in count():
        yield workload(number, (vllm, sglang, llamacpp)[number % 3](number))
        yield service(number)
        yield settings(number)
        yield pool(number) if number % POOL_EVERY == 0 else claim(number)


def rendered() -> Iterator[tuple[str, dict[str, Any], dict[str, str]]]:
    """What our components render for the local stack, again and again in another namespace, with its timeouts."""
    text = (ROOT / "tests" / "golden" / "local" / "resources.yaml").read_text(encoding="utf-8")
    ours = [each for each in yaml.safe_load_all(text) if each["type"].startswith("kubernetes:")]
    for number in count():
        for each in ours:
            inputs = json.loads(json.dumps(each["inputs"]).replace('"models"', f'"models-{number}"'))
            yield each["type"], inputs, each["timeouts"]


def asked(index: int, seen: Seen) -> proto.AnalyzeRequest:
    """A resource as the engine asks about it."""
    kind, properties = seen
    struct = json_format.ParseDict(properties, struct_pb2.Struct())
    return proto.AnalyzeRequest(
        type=kind, name=f"r{index}", urn=f"urn:pulumi:dev::p::{kind}::r{index}", properties=struct
    )


@contextmanager
def started(folder: Path) -> Iterator[analyzer_pb2_grpc.AnalyzerStub]:
    """A pack as the engine starts it."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-u", "-m", "pulumi.policy", "127.0.0.1:1", str(folder)]
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            port = int(process.stdout.readline()) if process.stdout else 0
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                yield analyzer_pb2_grpc.AnalyzerStub(channel)
        finally:
            process.terminate()


def judged(folder: Path = PACK) -> tuple[float, float, int]:
    """Seconds of Analyze for each and of AnalyzeStack for all, by a fresh process, and how many findings there were."""
    each = [asked(index, seen) for index, seen in enumerate(islice(mixed(), JUDGED))]
    stack = proto.AnalyzeStackRequest(
        resources=[
            proto.AnalyzerResource(type=one.type, name=one.name, urn=one.urn, properties=one.properties) for one in each
        ]
    )
    with started(folder) as pack:
        pack.Analyze(each[2])
        begun = time.perf_counter()
        found = sum(len(pack.Analyze(one).diagnostics) for one in each)
        between = time.perf_counter()
        found += len(pack.AnalyzeStack(stack).diagnostics)
        return between - begun, time.perf_counter() - between, found


def previewed(folder: Path, root: Path) -> float:
    """Seconds of a preview under a pack. Only advice is given, so that both previews do all of their work."""
    words = ["preview", "--stack", "dev", "--policy-pack", str(folder)]
    if folder == PACK:
        words += ["--policy-pack-config", str(root / "advice.json")]
    begun = time.perf_counter()
    engine.run(words, root=root, state=root / ".state", capture=True)
    return time.perf_counter() - begun


def program(root: Path) -> Path:
    """A program of so many objects, and beside it a pack without policies; answers the pack's folder."""
    options = f"  options:\n    toolchain: pip\n    virtualenv: {Path(sys.prefix)}\n"
    runtime = f"runtime:\n  name: python\n{options}"
    seen = list(islice(rendered(), PREVIEWED))
    empty = root / "empty"
    empty.mkdir()
    (root / "Pulumi.yaml").write_text(f"name: judged\n{runtime}", encoding="utf-8")
    (root / "Pulumi.dev.yaml").write_text("config: {}\n", encoding="utf-8")
    (root / "__main__.py").write_text(PROGRAM, encoding="utf-8")
    (root / "resources.json").write_text(json.dumps(seen), encoding="utf-8")
    (root / "advice.json").write_text(json.dumps({"all": "advisory"}), encoding="utf-8")
    (empty / "PulumiPolicy.yaml").write_text(f"version: 0.0.1\n{runtime}", encoding="utf-8")
    (empty / "__main__.py").write_text(EMPTY, encoding="utf-8")
    return empty


def show_preview() -> None:
    """The preview under either pack, in turns."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        empty = program(root)
        previewed(empty, root)
        pairs = [(previewed(empty, root), previewed(PACK, root)) for _ in range(RUNS)]
    without, with_pack = (min(each) for each in zip(*pairs, strict=True))
    adds = 100 * (with_pack / without - 1)
    figures = f"empty pack {without:5.2f} s   this pack {with_pack:5.2f} s   adds {adds:4.0f} %"
    print(f"preview of {PREVIEWED} resources   {figures}   target {100 * (PREVIEW_TARGET - 1):g} %")


def main() -> None:
    """Print both."""
    runs = [judged() for _ in range(RUNS)]
    alone, together, found = min(runs, key=lambda run: run[0] + run[1])
    print(
        f"{len(ALL)} rules, {JUDGED:,} resources   each {alone:5.2f} s   together {together:5.2f} s   "
        f"both {alone + together:5.2f} s   target {JUDGED_TARGET_S:g} s   ({found} findings)"
    )
    parts = [build.PARTS[name].directory() / build.STAMP for name in ("engine", "kubernetes-provider")]
    if build.installed_pulumi() or all(part.exists() for part in parts):
        show_preview()
    else:
        print("preview: left out, the engine is not built (make toolchain)")


if __name__ == "__main__":
    main()
