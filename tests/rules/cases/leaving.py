"""Examples of WH-10."""

from __future__ import annotations

from typing import Any

from modelberth.observed import UNKNOWN
from tests.rules.cases import Case
from tests.rules.samples import LLAMA_8B, llamacpp, ollama, sglang, vllm
from tests.rules.stacks import server

EARLY = "requests still arrive"
KILLED = "it is killed after"
CUT = "vLLM cuts requests off"


def _sleep(seconds: Any) -> dict[str, Any]:
    return {"lifecycle": {"preStop": {"sleep": {"seconds": seconds}}}}


def _vllm(before: Any = 15, grace: Any = 150, drain: str | None = "120", **more: Any) -> dict[str, Any]:
    words = ["--model", LLAMA_8B, "--max-model-len", "8192", *(["--shutdown-timeout", drain] if drain else [])]
    hook = {} if before is None else _sleep(before)
    stated = {} if grace is None else {"terminationGracePeriodSeconds": grace}
    return server(vllm(*words, **hook), **stated, **more)


def _rolling(unavailable: Any, replicas: Any = 2) -> dict[str, Any]:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": unavailable}}
    return _vllm(spec_replicas=replicas, spec_strategy=strategy)


def _exec(*words: str) -> dict[str, Any]:
    return server(sglang(lifecycle={"preStop": {"exec": {"command": list(words)}}}), terminationGracePeriodSeconds=150)


def _group(unavailable: int) -> dict[str, Any]:
    rolling = {"rollingUpdateConfiguration": {"maxUnavailable": unavailable}}
    return _vllm(kind="LeaderWorkerSet", spec_rolloutStrategy=rolling)


CASES = (
    Case("WH-10", "what our components write passes", (_vllm(),)),
    Case("WH-10", "a pod that says nothing of it is told once", (server(),), "is killed after 30 s"),
    Case("WH-10", "no hook meets requests that still arrive", (_vllm(None),), EARLY),
    Case("WH-10", "15 s are enough to leave", (_vllm(15),), boundary=True),
    Case("WH-10", "14 s are not", (_vllm(14),), "it sleeps 14 s", boundary=True),
    Case("WH-10", "120 s are enough in all", (_vllm(grace=120),), boundary=True),
    Case("WH-10", "119 s are not", (_vllm(grace=119),), "it is killed after 119 s", boundary=True),
    Case("WH-10", "what nobody states are 30 s", (_vllm(grace=None),), "it is killed after 30 s"),
    Case("WH-10", "a longer sleep takes a longer grace", (_vllm(200),), "takes 215 s"),
    Case("WH-10", "a drain of one's own choice counts", (_vllm(grace=60, drain="30"),), thresholds={"drain_s": 30}),
    Case("WH-10", "an unknown grace is open", (_vllm(grace=UNKNOWN),), "whether", undecided=True),
    Case("WH-10", "an unknown sleep is open", (_vllm(UNKNOWN),), "whether", undecided=True),
    Case("WH-10", "a shell may sleep", (_exec("sh", "-c", "sleep 20"),)),
    Case("WH-10", "a shell may sleep too short", (_exec("/bin/sh", "-c", "sleep 5"),), "it sleeps 5 s"),
    Case("WH-10", "a hook that does else is left alone", (_exec("/bin/drain"),)),
    Case("WH-10", "vLLM without a timeout cuts requests off", (_vllm(drain=None),), f"{CUT} after 0 s"),
    Case("WH-10", "vLLM with a sleep that outlasts them does not", (_vllm(105, drain=None),), boundary=True),
    Case("WH-10", "vLLM with less does", (_vllm(104, drain=None),), CUT, boundary=True),
    Case("WH-10", "vLLM's timeout is long enough", (_vllm(drain="90"),), boundary=True),
    Case("WH-10", "vLLM's timeout is too short", (_vllm(drain="89"),), f"{CUT} after 89 s", boundary=True),
    Case(
        "WH-10",
        "llama-server needs its sleep before",
        (server(llamacpp(**_sleep(15)), terminationGracePeriodSeconds=150),),
        "they have 15 s before",
    ),
    Case("WH-10", "llama-server with it passes", (server(llamacpp(**_sleep(135)), terminationGracePeriodSeconds=150),)),
    Case(
        "WH-10",
        "Ollama is read alike",
        (server(ollama() | _sleep(15), terminationGracePeriodSeconds=150),),
        "lifecycle.preStop",
    ),
    Case("WH-10", "a StatefulSet is asked too", (_vllm(None, kind="StatefulSet"),), EARLY),
    Case("WH-10", "a Job ends by itself", (_vllm(None, kind="Job"),)),
    Case("WH-10", "one of two may be away", (_rolling(1),), boundary=True),
    Case("WH-10", "two of two may not", (_rolling(2),), "may take 2 of 2", boundary=True),
    Case("WH-10", "a share is rounded down", (_rolling("99%"),), boundary=True),
    Case("WH-10", "all of them are too many", (_rolling("100%"),), "may take 2 of 2", boundary=True),
    Case("WH-10", "one of one is another rule's matter", (_rolling(1, 1),)),
    Case("WH-10", "of an unknown number any may be all", (_rolling(1, UNKNOWN),), "whether", undecided=True),
    Case("WH-10", "an unknown timeout is open", (_vllm(drain=UNKNOWN),), "whether", undecided=True),
    Case(
        "WH-10",
        "an unknown kind of update is open",
        (_vllm(spec_replicas=2, spec_strategy={"type": UNKNOWN}),),
        "whether",
        undecided=True,
    ),
    Case("WH-10", "what may be away is open", (_rolling(UNKNOWN),), "whether", undecided=True),
    Case("WH-10", "a group counts by groups", (_group(2),), "may take 2 of 2"),
    Case("WH-10", "one group may be away", (_group(1),)),
    Case(
        "WH-10",
        "stopping all before starting any is a gap",
        (_vllm(spec_replicas=2, spec_strategy={"type": "Recreate"}),),
        "stops all 2 replicas",
    ),
    Case("WH-10", "one replica has a gap anyway", (_vllm(spec_replicas=1, spec_strategy={"type": "Recreate"}),)),
)
