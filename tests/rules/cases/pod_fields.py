"""Pod templates that the API server refuses, and servers that take one port."""

from __future__ import annotations

from typing import Any

from modelberth.observed import UNKNOWN
from tests.rules.cases import Case
from tests.rules.samples import LLAMA_8B, QWEN_7B, sglang, vllm
from tests.rules.stacks import server

_PROXY = {"name": "server", "image": "nginx:1.29"}
_CACHE = {"name": "cache", "emptyDir": {}}


def _mounted(*mounts: tuple[str, str], **more: Any) -> dict[str, Any]:
    listed = [{"name": name, "mountPath": path} for name, path in mounts]
    return server(vllm(volumeMounts=listed), **more)


def _case(says: str, *there: Any, red: str | None = None, **more: Any) -> Case:
    return Case("WH-21", says, there, red, **more)


def _of(model: str, *args: str, name: str = "second", **more: Any) -> dict[str, Any]:
    return vllm("--model", model, "--max-model-len", "4096", *args, name=name, **more)


REFUSED = "the API server refuses the pod"
CASES = (
    _case(
        "a name for two containers is refused",
        server(vllm(), _PROXY),
        red=f"another container of the pod has this name: {REFUSED}",
    ),
    _case("an init container's name counts", server(vllm(), initContainers=[_PROXY]), red="another container"),
    _case("a name for two volumes is refused", server(volumes=[_CACHE, _CACHE]), red="another volume has this name"),
    _case(
        "a path for two volumes is refused",
        _mounted(("cache", "/a"), ("cache", "/a"), volumes=[_CACHE]),
        red="mounted there too",
    ),
    _case("a volume in two paths passes", _mounted(("cache", "/a"), ("cache", "/b"), volumes=[_CACHE])),
    _case(
        "a mount of no volume is refused",
        _mounted(("weights", "/a"), volumes=[_CACHE]),
        red="the pod has no volume of this name",
    ),
    _case("volumes that are computed may be any", _mounted(("weights", "/a"), volumes=UNKNOWN)),
    _case("a volume whose name is computed may be any", _mounted(("weights", "/a"), volumes=[{"name": UNKNOWN}])),
    _case(
        "a claim template is a volume",
        _mounted(("weights", "/a"), kind="StatefulSet", spec_volumeClaimTemplates=[{"metadata": {"name": "weights"}}]),
    ),
    _case(
        "a Deployment whose pods end is refused", server(restartPolicy="Never"), red="takes restartPolicy Always only"
    ),
    _case("a Job whose pods never end is refused", server(kind="Job", restartPolicy="Always"), red="a Job takes no"),
    _case("a Job whose pods start again passes", server(kind="Job", restartPolicy="OnFailure")),
    _case(
        "two models at one port answer for each other",
        server(vllm(), _of(QWEN_7B)),
        red="it listens on port 8000 like another container of the pod: requests reach either of them",
    ),
    _case("two copies of a model at one port are advice", server(vllm(), _of(LLAMA_8B)), red="either", advice=True),
    _case("two models at two ports pass", server(vllm(), _of(QWEN_7B, "--port", "8001"))),
    _case(
        "another engine at a port that is taken ends",
        server(vllm(), sglang("--model-path", QWEN_7B, "--port", "8000") | {"name": "second"}),
        red="like another container of the pod: it does not start",
    ),
    _case(
        "a restart policy that is computed is open", server(restartPolicy=UNKNOWN), red="takes the pod", undecided=True
    ),
    _case(
        "a mount that is computed is open", server(vllm(volumeMounts=[UNKNOWN])), red="takes the pod", undecided=True
    ),
    _case("a volume and a mount of one computed name pass", _mounted((UNKNOWN, "/a"), volumes=[{"name": UNKNOWN}])),
)
