"""Alert rules of one service, in PromQL. Thresholds and durations follow from its plan wherever it knows them.

``up`` is Prometheus's own; ``kube_*`` come from kube-state-metrics.
"""

from __future__ import annotations

from dataclasses import dataclass

from modelberth.names import Measure
from modelberth.plan import Plan
from modelberth.queries import metrics_of, per_pod, rate, where
from modelberth.units import duration

FULL = 0.95
"""Share of the KV cache above which the next block is hard to find."""
FAILING = 0.05
"""Share of requests that may fail before somebody is told."""
PATIENCE_S = 300
"""For alerts about load, where the plan says nothing longer."""


@dataclass(frozen=True)
class Alert:
    """One rule: fires when ``expr`` returns something for ``for_s`` seconds. ``action`` is what to do about it."""

    name: str
    expr: str
    for_s: int
    severity: str
    summary: str
    action: str


def alerts(plan: Plan, namespace: str) -> tuple[Alert, ...]:
    """The rules of a service: its load as far as its engine tells about it, and its pods."""
    matchers = where(namespace, plan.spec.called(plan.service))
    return (*_load(plan, matchers), *_pods(plan, namespace, matchers))


def _load(plan: Plan, matchers: str) -> list[Alert]:
    known = metrics_of(plan.decision.engine, plan.decision.engine_version)
    found: list[Alert] = []
    seats = plan.decision.concurrency
    if queue := known.get(Measure.QUEUE):
        patience_s = max(PATIENCE_S, plan.scaling.step_s + plan.decision.load_s if plan.scaling else 0)
        found.append(
            Alert(
                "QueueGrows",
                f"avg({per_pod(queue, matchers)}) > {seats}",
                patience_s,
                "warning",
                f"{plan.service}: more requests wait than a replica can hold at once ({seats})",
                _more(plan),
            )
        )
    if kv_cache := known.get(Measure.KV_CACHE):
        found.append(
            Alert(
                "KvCacheFull",
                f"max({per_pod(kv_cache, matchers)}) > {FULL}",
                PATIENCE_S,
                "warning",
                f"{plan.service}: the KV cache of a replica is full",
                f"requests are longer or more than planned ({seats} of {plan.spec.tokens_per_request} tokens): "
                "raise typical_tokens or concurrency in the spec and plan anew",
            )
        )
    if preemptions := known.get(Measure.PREEMPTIONS):
        found.append(
            Alert(
                "Preemptions",
                f"{rate(preemptions, matchers)} > 0",
                2 * PATIENCE_S,
                "warning",
                f"{plan.service}: requests lose their place in the KV cache and are computed again",
                "lower concurrency, or give the service more memory: a larger GPU or kv_cache_dtype fp8",
            )
        )
    errors, requests = known.get(Measure.ERRORS), known.get(Measure.REQUESTS)
    if errors and requests:
        found.append(
            Alert(
                "RequestsFail",
                f"{rate(errors, matchers)} / {rate(requests, matchers)} > {FAILING}",
                PATIENCE_S,
                "critical",
                f"{plan.service}: more than {FAILING:.0%} of the requests fail",
                "read the log of the server",
            )
        )
    return found


def _pods(plan: Plan, namespace: str, matchers: str) -> list[Alert]:
    decision = plan.decision
    budget = duration(decision.startup_budget_s)
    found = [
        Alert(
            "StartTakesTooLong",
            f'min by (pod) (kube_pod_status_ready{{condition="true",{matchers}}}) == 0 '
            f'unless on (pod) kube_pod_status_phase{{phase=~"Failed|Succeeded",{matchers}}} == 1',
            decision.startup_budget_s,
            "critical",
            f"{plan.service}: a pod is not ready after {budget}, twice what its start was planned with",
            "kubectl describe pod: no node with a free GPU, a slow image or download, or a model that does not load",
        ),
        Alert(
            "RestartsOften",
            f'increase(kube_pod_container_status_restarts_total{{container="server",{matchers}}}[1h]) > 2',
            0,
            "critical",
            f"{plan.service}: the server was restarted three times within an hour",
            "kubectl logs --previous: out of memory, a driver too old for the image, or a flag that is refused",
        ),
    ]
    if plan.spec.fewest_replicas and plan.launch.metrics_path:
        found.append(
            Alert(
                "NothingServes",
                f"absent(up{{{matchers}}} == 1)",
                PATIENCE_S + (0 if plan.rollout.max_surge or plan.spec.fewest_replicas > 1 else decision.load_s),
                "critical",
                f"{plan.service}: no replica answers",
                f"kubectl get pods -n {namespace}: what its pods wait for or why they fail",
            )
        )
    return found


def _more(plan: Plan) -> str:
    if plan.scaling is None:
        return "raise replicas, or let them follow the load (autoscaling)"
    return f"all {plan.scaling.max} replicas may be running: raise max, and max_nodes of the pool"
