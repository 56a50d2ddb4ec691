"""Replicas that follow the load: on which metric, from which threshold, and how fast.

Bounds of windows are those of autoscaling/v2 (HPAScalingRules): stabilization at most 3600 s, a policy's period 1800 s.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from modelberth.catalog import Metric, catalog
from modelberth.decision import Decision
from modelberth.findings import Finding, Level
from modelberth.names import Measure, Scaler, Signal
from modelberth.parts import Autoscaling
from modelberth.queries import metrics_of, total, where
from modelberth.spec import ServiceSpec, StackSpec
from modelberth.units import ceil_to, duration

LONGEST_WINDOW_S = 3600
LONGEST_PERIOD_S = 1800
UP_WINDOW_S = 60
"""A burst shorter than this starts no replica: it would be over before the replica is ready."""
ABOVE_BUDGET_S = 60
"""Default cooldown beyond the start-up budget."""


@dataclass(frozen=True)
class Scaling:
    """How one service is scaled. ``threshold`` is per replica, in the unit of the signal; lengths of time in seconds.

    ``metric`` is None for a signal of the user's own. ``step_s``: the replicas at most double in this time, which is
    what a new one needs to be ready. ``down_window_s``: low load must last this long before replicas are stopped.
    """

    min: int
    max: int
    signal: Signal
    threshold: float
    scaler: Scaler
    metric: Metric | None
    step_s: int
    down_window_s: int
    cooldown_s: int
    prometheus: str | None
    query: str | None
    own_metric: str | None
    wake_query: str | None
    why: str

    def promql(self, namespace: str, service: str) -> str:
        """The signal as one number for all replicas."""
        if self.metric is None:
            return self.query or ""
        return total(self.metric, where(namespace, service))

    @property
    def pods_metric(self) -> str:
        """Name of the signal in the custom metrics API: that of Prometheus with an underscore for the colon."""
        return self.metric.name.replace(":", "_") if self.metric else self.own_metric or ""

    @property
    def words(self) -> str:
        """In a few words."""
        return f"{self.min} to {self.max} replicas by {self.signal}"


def scaling(spec: ServiceSpec, stack: StackSpec, decision: Decision) -> Scaling | None:
    """How a decided service is scaled; None when its replicas are fixed."""
    wanted = spec.autoscaling
    if wanted is None:
        return None
    known = metrics_of(decision.engine, decision.engine_version)
    metric = known.get(Measure(wanted.signal)) if _known(wanted) else None
    threshold, reason = _threshold(wanted, decision.concurrency)
    cooldown_s = _cooldown_s(wanted, decision)
    step_s = min(max(decision.load_s, UP_WINDOW_S), LONGEST_PERIOD_S)
    down_window_s = min(cooldown_s, LONGEST_WINDOW_S)
    what = metric.name if metric else "a metric of your own"
    why = (
        f"more while {what} is above {threshold:g} per replica ({reason}), at most doubled in {duration(step_s)}; "
        f"fewer after {duration(down_window_s)} of low load"
    )
    if wanted.wake:
        why += ", none until the wake query is above zero"
    return Scaling(
        min=wanted.min,
        max=wanted.max,
        signal=wanted.signal,
        threshold=threshold,
        scaler=wanted.scaler,
        metric=metric,
        step_s=step_s,
        down_window_s=down_window_s,
        cooldown_s=cooldown_s,
        prometheus=stack.defaults.monitoring.prometheus,
        query=wanted.query,
        own_metric=wanted.metric,
        wake_query=wanted.wake.query if wanted.wake else None,
        why=why,
    )


def objections(spec: ServiceSpec, stack: StackSpec, engine: str, version: str, path: str) -> Iterator[Finding]:
    """What cannot work with this engine and this cluster, as errors."""
    wanted = spec.autoscaling
    if wanted is None:
        return
    known = metrics_of(engine, version)
    if _known(wanted) and Measure(wanted.signal) not in known:
        offered = [signal.value for signal in Signal if signal is not Signal.CUSTOM and signal.value in known]
        has = f"it has {', '.join(offered)}" if offered else "it tells nothing that replicas could follow"
        out = "signal: custom with a query on the requests at your gateway, or replicas without autoscaling"
        message = f"{engine} {version} has no metric of {wanted.signal}: {has}"
        out = f"one of these, or {out}" if offered else out
        yield Finding("autoscaling", f"{path}.autoscaling.signal", message, out)
    if wanted.scaler is Scaler.KEDA and stack.defaults.monitoring.prometheus is None:
        message = "is required: KEDA reads the signal from Prometheus"
        out = "monitoring: {prometheus: http://HOST:9090}, or scaler: hpa where an adapter serves custom metrics"
        yield Finding("autoscaling", "defaults.monitoring.prometheus", message, out)
    elif stack.defaults.monitoring.prometheus is None and not stack.defaults.monitoring.operator:
        message = "is required: the adapter reads the metric from a Prometheus, which must be let in to scrape the pods"
        out = "monitoring: {prometheus: http://HOST:9090, namespace: NAME}, or operator: true"
        yield Finding("autoscaling", "defaults.monitoring", message, out)
    if wanted.signal is Signal.RUNNING and wanted.threshold is not None and wanted.threshold >= spec.concurrency:
        message = f"{wanted.threshold:g} is never exceeded: a replica runs at most {spec.concurrency} requests at once"
        yield Finding("autoscaling", f"{path}.autoscaling.threshold", message, f"less than {spec.concurrency}")


def findings(name: str, spec: ServiceSpec, stack: StackSpec, decision: Decision) -> Iterator[Finding]:
    """What only shows once it is known how long a replica takes to start, and what must be there."""
    wanted = spec.autoscaling
    if wanted is None:
        return
    path, budget_s = f"services.{name}.autoscaling", decision.startup_budget_s
    stated = wanted.cooldown_s
    if stated is not None and stated < budget_s:
        message = f"{stated} s are less than the start-up budget of {budget_s} s: replicas would stop while they load"
        yield Finding("autoscaling", f"{path}.cooldown_s", message, f"at least {budget_s}, or leave it out")
    elif stated is not None and stated > LONGEST_WINDOW_S:
        message = f"{stated} s are more than the {LONGEST_WINDOW_S} s that autoscaling/v2 allows"
        yield Finding("autoscaling", f"{path}.cooldown_s", message, f"at most {LONGEST_WINDOW_S}")
    elif (calm_s := _cooldown_s(wanted, decision)) > LONGEST_WINDOW_S:
        message = (
            f"a start may take {budget_s} s, so low load should last {calm_s} s before a replica is stopped; "
            f"autoscaling/v2 waits at most {LONGEST_WINDOW_S} s"
        )
        yield Finding("autoscaling", f"{path}.cooldown_s", message, "weights on a faster volume", Level.WARNING)
    if decision.load_s > LONGEST_PERIOD_S:
        message = (
            f"a replica loads for about {decision.load_s} s, autoscaling/v2 counts the steps of at most "
            f"{LONGEST_PERIOD_S} s: more may start while the last ones still load"
        )
        yield Finding("autoscaling", path, message, "weights on a faster volume, or a smaller max", Level.WARNING)
    facts, monitoring = catalog().engine(decision.engine), stack.defaults.monitoring
    if _known(wanted) and spec.api_key and facts.metrics_need_api_key and not monitoring.operator:
        message = f"{facts.name} answers /metrics only with the API key: without it Prometheus has no signal to follow"
        out = (
            f"authorization with key {spec.api_key.key} of Secret {spec.api_key.secret} in your scrape config, or "
            "monitoring: {operator: true}, whose PodMonitors have it"
        )
        yield Finding("autoscaling", f"services.{name}.api_key", message, out, Level.WARNING)
    needed = (
        "KEDA, and a Prometheus that scrapes the pods,"
        if wanted.scaler is Scaler.KEDA
        else "an adapter that serves custom metrics of the pods, such as prometheus-adapter,"
    )
    yield Finding("needs", path, f"{needed} must be in the cluster: it is not installed here", level=Level.NOTE)


def _cooldown_s(wanted: Autoscaling, decision: Decision) -> int:
    """Seconds of low load that are wanted before replicas are stopped; autoscaling/v2 may allow fewer."""
    return wanted.cooldown_s or ceil_to(decision.startup_budget_s + ABOVE_BUDGET_S, 60)


def _known(wanted: Autoscaling) -> bool:
    return wanted.signal is not Signal.CUSTOM


def _threshold(wanted: Autoscaling, concurrency: int) -> tuple[float, str]:
    if wanted.threshold is not None:
        return wanted.threshold, "as stated"
    default = catalog().signals[wanted.signal]
    return default.threshold * (concurrency if default.of_concurrency else 1), default.reason
