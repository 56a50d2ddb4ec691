"""Examples of CS-19 and CS-20."""

from __future__ import annotations

from typing import Any

from modelberth.observed import UNKNOWN
from modelberth.rules.base import Profile
from tests.rules.cases import Case
from tests.rules.samples import LLAMA_8B, llamacpp, sglang, tgi, vllm
from tests.rules.stacks import COMMIT, server

HOLDS = "whatever the model's repository holds"
MOVE = "others may move it"
CODE = "runs Python of the model's repository"


def _vllm(*more: Any, **pod: Any) -> dict[str, Any]:
    return server(vllm("--model", LLAMA_8B, "--max-model-len", "8192", *more), **pod)


def _job(*words: str, env: Any = (), kind: str = "Job", ours: bool = False) -> dict[str, Any]:
    named = [{"name": name, "value": value} for name, value in env]
    return server({"name": "fetch", "image": "python:3.13", "command": list(words), "env": named}, kind=kind, ours=ours)


_HF = ("hf", "download", LLAMA_8B)
_INIT = {"name": "fetch", "image": "python:3.13", "command": ["sh", "-c", f"huggingface-cli download {LLAMA_8B}"]}
_SCRIPT = 'python3 -c \'snapshot_download(os.environ["REPOSITORY"], revision=os.environ.get("REVISION"))\''
CASES = (
    Case("CS-19", "a commit is fixed", (_vllm("--revision", COMMIT, ours=True),)),
    Case("CS-19", "no revision is whatever is there", (_vllm(ours=True),), HOLDS),
    Case("CS-19", "a branch may be moved", (_vllm("--revision", "main"),), MOVE),
    Case("CS-19", "40 digits are a commit", (_vllm(f"--revision={COMMIT}"),), boundary=True),
    Case("CS-19", "39 digits are an abbreviation", (_vllm(f"--revision={COMMIT[1:]}"),), MOVE, boundary=True),
    Case("CS-19", "an unknown revision is open", (_vllm("--revision", UNKNOWN),), "whether", undecided=True),
    Case(
        "CS-19",
        "a path is somebody else's matter",
        (server(vllm("--model", "/weights/llama", "--max-model-len", "8192")),),
    ),
    Case("CS-19", "SGLang says it alike", (server(sglang()),), HOLDS),
    Case("CS-19", "TGI says it by a variable", (server(tgi(env={"REVISION": COMMIT})),)),
    Case("CS-19", "TGI without it is open to changes", (server(tgi()),), HOLDS),
    Case(
        "CS-19",
        "llama-server cannot fix what it downloads",
        (server(llamacpp("--hf-repo", "org/model-GGUF")),),
        "takes no revision",
    ),
    Case("CS-19", "llama-server with a file passes", (server(llamacpp()),)),
    Case("CS-19", "a StatefulSet is asked too", (_vllm(kind="StatefulSet"),), HOLDS),
    Case("CS-19", "pickled weights run code", (_vllm("--revision", COMMIT, "--load-format", "pt"),), "pickled"),
    Case(
        "CS-19",
        "an unknown format is open",
        (_vllm("--revision", COMMIT, "--load-format", UNKNOWN),),
        "pickled",
        undecided=True,
    ),
    Case("CS-19", "safetensors do not", (_vllm("--revision", COMMIT, "--load-format", "safetensors"),)),
    Case("CS-19", "a download names a commit", (_job(*_HF, "--revision", COMMIT),)),
    Case("CS-19", "a download without one is whatever is there", (_job(*_HF),), "no commit is named"),
    Case(
        "CS-19",
        "a download that is run again and again does too",
        (_job(*_HF, kind="Deployment"),),
        "no commit is named",
    ),
    Case(
        "CS-19",
        "an init container that downloads does too",
        (_vllm("--revision", COMMIT, initContainers=[_INIT]),),
        "initContainers[0].command",
    ),
    Case("CS-19", "a script takes it from a variable", (_job("sh", "-c", _SCRIPT, env=[("REVISION", COMMIT)]),)),
    Case(
        "CS-19",
        "another variable of 40 digits is no revision",
        (_job("sh", "-c", _SCRIPT, env=[("FOLDER", COMMIT)]),),
        "no commit is named",
    ),
    Case(
        "CS-19",
        "a variable that will be is open",
        (_job("sh", "-c", _SCRIPT, env=[("REVISION", UNKNOWN)]),),
        "whether",
        undecided=True,
    ),
    Case("CS-19", "a Job that does something else is not asked", (_job("python3", "train.py"),)),
    Case("CS-20", "off is the default", (_vllm(),)),
    Case("CS-20", "on stops", (_vllm("--trust-remote-code"),), CODE),
    Case("CS-20", "on stops in profile dev", (_vllm("--trust-remote-code"),), CODE, profile=Profile.DEV),
    Case("CS-20", "what vLLM's parser takes for it is it", (_vllm("--trust_remote_code"),), CODE),
    Case("CS-20", "the last word counts", (_vllm("--trust-remote-code", "--no-trust-remote-code"),)),
    Case("CS-20", "SGLang says it alike", (server(sglang("--model-path", LLAMA_8B, "--trust-remote-code")),), CODE),
    Case("CS-20", "TGI says it by a variable", (server(tgi(env={"TRUST_REMOTE_CODE": "true"})),), CODE),
    Case("CS-20", "TGI says no by it too", (server(tgi(env={"TRUST_REMOTE_CODE": "false"})),)),
    Case(
        "CS-20",
        "a model at a commit may be allowed",
        (_vllm("--revision", COMMIT, "--trust-remote-code"),),
        thresholds={"allowed": (f"{LLAMA_8B}@{COMMIT}",)},
    ),
    Case(
        "CS-20",
        "another commit of it is not",
        (_vllm("--revision", COMMIT[::-1], "--trust-remote-code"),),
        CODE,
        thresholds={"allowed": (f"{LLAMA_8B}@{COMMIT}",)},
    ),
    Case("CS-20", "a word that may be anything is open", (_vllm(UNKNOWN),), "whether", undecided=True),
    Case(
        "CS-20",
        "arguments that will be are open",
        (server(vllm(command=["vllm", "serve"]) | {"args": UNKNOWN}),),
        "whether",
        undecided=True,
    ),
    Case("CS-20", "an unknown value of another flag is not", (_vllm("--max-num-seqs", UNKNOWN),)),
)
