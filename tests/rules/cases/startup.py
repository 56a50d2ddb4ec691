"""The time that loading a model is given: Llama 3.1 8B stores 14.96 GiB."""

from __future__ import annotations

from typing import Any

from modelberth.observed import UNKNOWN
from modelberth.resources import Options
from tests.rules.cases import Case
from tests.rules.samples import L4, llamacpp, vllm

OURS = {"app.kubernetes.io/part-of": "modelberth"}
SEVENTY = ("--model", "meta-llama/Llama-3.1-70B-Instruct", "--max-model-len", "4096", "--tensor-parallel-size", "4")
"""131.42 GiB: 66 s at the fastest download, 2,244 s at 60 MiB/s."""


def probe(**more: Any) -> dict[str, Any]:
    return {"httpGet": {"path": "/health", "port": 8000}} | more


def served(container: dict[str, Any], *, ours: bool = False, kind: str = "Deployment", **spec: Any) -> dict[str, Any]:
    labels = OURS if ours else {}
    template = {"spec": {"containers": [container], **L4}}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": "server", "labels": labels, "annotations": spec.pop("annotations", {})},
        "spec": {"progressDeadlineSeconds": 7200, "selector": {"matchLabels": {"app": "server"}}}
        | spec
        | {"template": template},
    }


PATIENT = Options(create_timeout_s=7200, update_timeout_s=7200)
ON_A_VOLUME = {"volumeMounts": [{"name": "weights", "mountPath": "/weights"}]}


def case(says: str, there: dict[str, Any], red: str | None = None, **more: Any) -> Case:
    arguments: dict[str, Any] = {"options": PATIENT} | more
    return Case("SZ-14", says, (there,), red, **arguments)


def seventy(**probes: Any) -> dict[str, Any]:
    return vllm(*SEVENTY, gpus=4, **probes)


CASES = (
    case("a model with a long startup probe loads", served(vllm(startupProbe=probe(failureThreshold=60)))),
    case("a pod without any probe is never killed", served(vllm())),
    case(
        "a liveness probe alone kills a large model before it can be there",
        served(seventy(livenessProbe=probe())),
        "even on the fastest storage and with nothing to compile",
    ),
    case(
        "the budget that no machine beats is one second short",
        served(seventy(startupProbe=probe(periodSeconds=1, failureThreshold=75))),
        "kills the container after 1 min 15 s",
        boundary=True,
    ),
    case(
        "the budget that the fastest machine needs is advice",
        served(seventy(startupProbe=probe(periodSeconds=1, failureThreshold=76))),
        "loading takes about",
        advice=True,
        boundary=True,
    ),
    case(
        "our own pods have the time that was estimated",
        served(vllm(startupProbe=probe(periodSeconds=1, failureThreshold=376)), ours=True),
        boundary=True,
    ),
    case(
        "our own pods lack a second of it",
        served(vllm(startupProbe=probe(periodSeconds=1, failureThreshold=375)), ours=True),
        "kills the container after 6 min 15 s, loading takes about 6 min 16 s",
        boundary=True,
    ),
    case(
        "the budget of a foreign pod is short on storage as assumed",
        served(vllm(startupProbe=probe(failureThreshold=6))),
        "startupProbe with periodSeconds 10 and failureThreshold 76",
        advice=True,
    ),
    case(
        "a team knows its storage",
        served(vllm(startupProbe=probe(failureThreshold=15)), ours=True),
        thresholds={"mib_per_s": 1024},
    ),
    case(
        "a readiness probe kills nothing, however long its delay is",
        served(vllm(readinessProbe=probe(initialDelaySeconds=300))),
    ),
    case(
        "a liveness probe that waits long enough is none that kills a loading model",
        served(vllm(livenessProbe=probe(initialDelaySeconds=600))),
    ),
    case(
        "an unknown number of failures may be too few",
        served(seventy(startupProbe=probe(failureThreshold=UNKNOWN))),
        "only known after apply",
        undecided=True,
    ),
    case(
        "an unknown number of failures does not matter behind a long delay",
        served(seventy(startupProbe=probe(failureThreshold=UNKNOWN, initialDelaySeconds=3600))),
    ),
    case(
        "a startup probe that is unknown as a whole is open",
        served(seventy(startupProbe=UNKNOWN)),
        "only known after apply",
        undecided=True,
    ),
    case("an unknown model is no matter of the budget", served(vllm("--model", UNKNOWN, livenessProbe=probe()))),
    case(
        "a probe that runs a command may pass while the model loads",
        served(seventy(livenessProbe={"exec": {"command": ["true"]}})),
    ),
    case("probes of the wrong type are nobody's budget", served(vllm(startupProbe=3, livenessProbe="no"))),
    case(
        "a StatefulSet kills its pods like a Deployment",
        served(seventy(livenessProbe=probe()), kind="StatefulSet"),
        "even on the fastest storage",
    ),
    case(
        "a model on a volume loads faster than one that is downloaded",
        served(
            llamacpp(
                "--model",
                "/weights/Qwen2.5-7B-Instruct-Q4_K_M.gguf",
                "--alias",
                "Qwen/Qwen2.5-7B-Instruct",
                "--ctx-size",
                "8192",
                "--parallel",
                "2",
                startupProbe=probe(failureThreshold=5),
                **ON_A_VOLUME,
            ),
            ours=True,
        ),
    ),
    case(
        "the default progress deadline of our own Deployment is short",
        served(vllm(), ours=True, progressDeadlineSeconds=None),
        "the rollout counts as failed after 600 s, the default",
    ),
    case(
        "the default progress deadline of others is advice",
        served(seventy(), progressDeadlineSeconds=None),
        "progressDeadlineSeconds: 5220",
        advice=True,
    ),
    case("the default progress deadline is enough for a small model", served(vllm(), progressDeadlineSeconds=None)),
    case(
        "an unknown progress deadline of our own Deployment is open",
        served(vllm(), ours=True, progressDeadlineSeconds=UNKNOWN),
        "only known after apply",
        undecided=True,
    ),
    case(
        "the provider waits ten minutes unless it is told",
        served(vllm(), ours=True),
        "the create fails after 600 s, the default",
        options=Options(),
    ),
    case(
        "the provider's wait of others is advice",
        served(seventy()),
        "customTimeouts with create and update of 5220s",
        advice=True,
        options=Options(),
    ),
    case(
        "the wait for an update counts too",
        served(vllm(), ours=True),
        "the update fails after 600 s, the default",
        options=Options(create_timeout_s=7200),
    ),
    case(
        "an annotation tells the provider to wait longer",
        served(vllm(), ours=True, annotations={"pulumi.com/timeoutSeconds": "3600"}),
        options=Options(),
    ),
    case(
        "an annotation tells the provider not to wait",
        served(vllm(), ours=True, annotations={"pulumi.com/skipAwait": "true"}),
        options=Options(),
    ),
    case(
        "an unknown annotation of our own is open",
        served(vllm(), ours=True, annotations={"pulumi.com/timeoutSeconds": UNKNOWN}),
        "only known after apply",
        undecided=True,
        options=Options(),
    ),
    case("nothing is waited for where no replica is made", served(vllm(), ours=True, replicas=0), options=Options()),
)
