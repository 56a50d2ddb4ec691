"""Replicas that follow the load: what is planned, and what is refused with the reason and the way out."""

from __future__ import annotations

from typing import Any

import pytest

from modelberth import report
from modelberth.alerts import alerts
from modelberth.findings import Level
from modelberth.lock import settle
from modelberth.names import Signal
from modelberth.plan import Plan, plan
from modelberth.scaling import findings, objections
from tests.modelberth.samples import by_path, refusal, stack_of, stack_with

KEYS: dict[str, Any] = {
    "defaults": {"monitoring": {"prometheus": "http://prometheus:9090"}},
    "weights": {"hub": {"kind": "hub"}},
}
POOL = {"accelerators": ["nvidia-l4"], "machine_types": ["g2-standard-8"]}
QWEN = {"model": "Qwen/Qwen2.5-7B-Instruct", "context": 4096, "weights": "hub"}


def planned(keys: dict[str, Any] | None = None, **fields: Any) -> Plan:
    return plan("chat", stack_of(keys=KEYS | (keys or {}), **(QWEN | fields)))


def refused(keys: dict[str, Any] | None = None, **fields: Any) -> Any:
    findings = refusal(lambda: settle(stack_of(keys=KEYS | (keys or {}), **(QWEN | fields)), {}))
    return findings[0]


def test_a_fixed_service_has_no_scaling() -> None:
    assert planned().scaling is None


def test_the_queue_is_the_default_signal_with_a_threshold_of_the_catalog() -> None:
    scaling = planned(autoscaling={"min": 1, "max": 3}).scaling
    assert scaling
    assert scaling.signal is Signal.QUEUE
    assert scaling.threshold == 3
    assert scaling.metric
    assert scaling.metric.name == "vllm:num_requests_waiting"


def test_running_requests_are_measured_by_the_concurrency() -> None:
    scaling = planned(concurrency=10, autoscaling={"min": 1, "max": 3, "signal": "running"}).scaling
    assert scaling
    assert scaling.threshold == 8


def test_low_load_must_outlast_a_start_and_steps_up_wait_for_it() -> None:
    made = planned(autoscaling={"min": 1, "max": 3})
    assert made.scaling
    assert made.scaling.down_window_s > made.decision.startup_budget_s
    assert made.scaling.step_s >= made.decision.load_s


def test_nodes_cost_and_rollout_are_those_of_the_most_replicas() -> None:
    pools = {"l4": POOL | {"max_nodes": 3}}
    made = planned(keys={"pools": pools}, autoscaling={"min": 1, "max": 3})
    assert made.nodes == 3
    assert made.usd_per_hour == pytest.approx(3 * planned(keys={"pools": pools}).usd_per_hour)  # type: ignore[operator]
    assert made.rollout.max_surge == 0
    assert "where only one runs, down about" in made.rollout.why


def test_a_pool_must_hold_the_most_replicas_of_all_its_services() -> None:
    pools = {"l4": POOL | {"max_nodes": 3}}
    alone = refused(keys={"pools": pools}, autoscaling={"min": 1, "max": 4})
    assert alone.path == "services.chat"
    assert "4 nodes" in alone.message
    services = {name: QWEN | {"concurrency": 4, "autoscaling": {"min": 1, "max": 2}} for name in ("chat", "draft")}
    (together,) = refusal(lambda: settle(stack_with(services, **KEYS, pools=pools), {}))
    assert together.path == "pools.l4.max_nodes"
    assert "services need 4 nodes (chat 2, draft 2), the pool may have 3" in together.message
    assert "a smaller max of autoscaling" in together.remedy
    settle(stack_with(services, **KEYS, pools={"l4": POOL | {"max_nodes": 4}}), {})


def test_a_budget_must_pay_for_the_most_replicas() -> None:
    keys = {"pools": {"l4": POOL | {"max_nodes": 4}}}
    planned(keys=keys, autoscaling={"min": 1, "max": 2}, budget={"usd_per_hour": 2})
    finding = refused(keys=keys, autoscaling={"min": 1, "max": 4}, budget={"usd_per_hour": 2})
    assert finding.path in ("services.chat.budget", "services.chat")


def test_a_volume_of_one_node_is_refused_for_several_replicas() -> None:
    finding = refused(weights=None, autoscaling={"min": 1, "max": 2})
    assert "2 replicas on several nodes cannot share a ReadWriteOnce volume" in finding.message


@pytest.mark.parametrize(
    ("autoscaling", "path", "message"),
    [
        ({"min": 3, "max": 2}, "", "min 3 is more than max 2"),
        ({"min": 0, "max": 2}, "", "min 0 never wakes up"),
        ({"min": 1, "max": 2, "wake": {"query": "a"}}, "", "wake belongs to min 0"),
        ({"min": 0, "max": 2, "wake": {"query": "a"}, "scaler": "hpa"}, "", "scaler hpa keeps at least one replica"),
        ({"min": 1, "max": 2, "signal": "cpu"}, ".signal", "utilization of CPU, memory or GPU does not follow"),
        ({"min": 1, "max": 2, "signal": "gpu_utilization"}, ".signal", "utilization of CPU, memory or GPU"),
        ({"min": 1, "max": 2, "signal": "qeue"}, ".signal", "did you mean 'queue'"),
        ({"min": 1, "max": 2, "signal": "custom"}, "", "signal custom with scaler keda needs query"),
        ({"min": 1, "max": 2, "signal": "custom", "query": "a"}, "", "signal custom needs threshold"),
        ({"min": 1, "max": 2, "query": "a"}, "", "query belongs to signal custom with scaler keda"),
        (
            {"min": 1, "max": 2, "metric": "a", "signal": "custom"},
            "",
            "metric belongs to signal custom with scaler hpa",
        ),
        ({"min": 1, "max": 2, "signal": "kv_cache", "threshold": 80}, "", "0.8 means 80 percent"),
        ({"min": 1, "max": 2, "signal": "running", "threshold": 8}, ".threshold", "is never exceeded"),
        ({"min": 1, "max": 2, "cooldown_s": 60}, ".cooldown_s", "less than the start-up budget"),
        ({"min": 1, "max": 2, "cooldown_s": 3601}, ".cooldown_s", "more than the 3600 s that autoscaling/v2 allows"),
        ({"min": -1, "max": 2}, ".min", "must be at least 0"),
    ],
)
def test_what_cannot_work_is_refused_where_it_stands(autoscaling: dict[str, Any], path: str, message: str) -> None:
    finding = refused(autoscaling=autoscaling, concurrency=8)
    assert finding.path == f"services.chat.autoscaling{path}"
    assert message in finding.message


def test_keda_needs_a_prometheus_to_ask_and_an_adapter_one_that_may_scrape() -> None:
    none: dict[str, Any] = {"defaults": {}}
    finding = refused(keys=none, autoscaling={"min": 1, "max": 2})
    assert finding.path == "defaults.monitoring.prometheus"
    assert "scaler: hpa" in finding.remedy
    unscraped = refused(keys=none, autoscaling={"min": 1, "max": 2, "scaler": "hpa"})
    assert (unscraped.path, "let in to scrape" in unscraped.message) == ("defaults.monitoring", True)
    operated = {"defaults": {"monitoring": {"operator": True}}}
    assert planned(keys=operated, autoscaling={"min": 1, "max": 2, "scaler": "hpa"}).scaling


KEY = {"secret": "api", "key": "key"}


def warned(made: Plan) -> dict[str, str]:
    return {each.path: each.message for each in made.findings if each.level is Level.WARNING}


def test_metrics_behind_an_api_key_are_a_warning_where_nobody_gives_prometheus_the_key() -> None:
    wanted: dict[str, Any] = {"engine": "llamacpp", "api_key": KEY, "weights": None, "accelerators": ["nvidia-l4"]}
    store: dict[str, Any] = {"weights": {"w": {"kind": "claim", "size_gib": 20, "access_mode": "ReadWriteMany"}}}
    scaled: dict[str, Any] = wanted | {"weights": "w", "autoscaling": {"min": 1, "max": 2}}
    assert "only with the API key" in warned(planned(keys=store, **scaled))["services.chat.api_key"]
    operator = {"prometheus": "http://prometheus:9090", "operator": True}
    keys = store | {"defaults": {"monitoring": operator}}
    assert "services.chat.api_key" not in warned(planned(keys=keys, **scaled))
    assert "services.chat.api_key" not in warned(planned(keys=store, **(scaled | {"api_key": None})))
    assert "services.chat.api_key" not in warned(planned(autoscaling={"min": 1, "max": 2}, api_key=KEY))


@pytest.mark.parametrize(
    ("seconds", "path", "message"),
    [
        ({"startup_budget_s": 3550}, ".cooldown_s", "low load should last 3660 s"),
        ({"startup_budget_s": 3540}, None, ""),
        ({"load_s": 1801, "startup_budget_s": 3540}, "", "a replica loads for about 1801 s"),
        ({"load_s": 1800, "startup_budget_s": 3540}, None, ""),
    ],
)
def test_what_the_autoscaler_cannot_wait_for_is_said(seconds: dict[str, int], path: str | None, message: str) -> None:
    stack = stack_of(keys=KEYS, **QWEN, autoscaling={"min": 1, "max": 2})
    decision = plan("chat", stack).decision.model_copy(update=seconds)
    found = [each for each in findings("chat", stack.services["chat"], stack, decision) if each.code == "autoscaling"]
    assert [each.path for each in found] == ([] if path is None else [f"services.chat.autoscaling{path}"])
    assert all(message in each.message and each.level is Level.WARNING for each in found)


def test_replicas_beside_autoscaling_are_refused_unless_they_agree() -> None:
    assert (
        "replicas 3 and autoscaling from 1 to 4 contradict"
        in refused(replicas=3, autoscaling={"min": 1, "max": 4}).message
    )
    assert planned(replicas=1, autoscaling={"min": 1, "max": 4}).scaling


def test_a_signal_that_the_engine_does_not_have_names_those_it_has() -> None:
    wanted = {"engine": "llamacpp", "autoscaling": {"min": 1, "max": 2, "signal": "kv_cache"}}
    found = by_path(refusal(lambda: settle(stack_of(keys=KEYS, **(QWEN | wanted)), {})))
    finding = found["services.chat.autoscaling.signal"]
    assert "llamacpp b11434 has no metric of kv_cache: it has queue, running" in finding.message
    assert finding.remedy.startswith("one of these, or signal: custom")


@pytest.mark.parametrize(("engine", "version"), [("ollama", "0.34.0"), ("tensorrt_llm", "1.2.1")])
def test_an_engine_without_such_metrics_is_told_what_to_do_instead(engine: str, version: str) -> None:
    stack = stack_of(keys=KEYS, **QWEN, autoscaling={"min": 1, "max": 2})
    (finding,) = objections(stack.services["chat"], stack, engine, version, "services.chat")
    assert "nothing that replicas could follow" in finding.message
    assert "query on the requests at your gateway" in finding.remedy


def test_a_query_of_ones_own_works_on_any_engine() -> None:
    wanted = {"min": 1, "max": 2, "signal": "custom", "query": "sum(rate(a[1m]))", "threshold": 5}
    stack = stack_of(keys=KEYS, **QWEN, autoscaling=wanted)
    assert list(objections(stack.services["chat"], stack, "ollama", "0.34.0", "services.chat")) == []
    made = planned(autoscaling=wanted).scaling
    assert made
    assert made.promql("models", "chat") == "sum(rate(a[1m]))"


def test_the_plan_says_signal_bounds_threshold_and_who_must_be_there() -> None:
    text = report.as_text(settle(stack_of(keys=KEYS, **QWEN, autoscaling={"min": 1, "max": 3}), {}))
    assert "1 to 3 replicas by queue (keda)" in text
    assert "vllm:num_requests_waiting is above 3 per replica" in text
    assert "KEDA, and a Prometheus that scrapes the pods, must be in the cluster: it is not installed here" in text


def test_a_service_that_may_sleep_is_no_alert_when_nothing_serves() -> None:
    asleep = planned(autoscaling={"min": 0, "max": 1, "wake": {"query": "a"}})
    names = {alert.name for alert in alerts(asleep, "models")}
    assert "NothingServes" not in names
    assert "NothingServes" in {alert.name for alert in alerts(planned(), "models")}


def test_every_alert_says_what_happened_and_what_to_do() -> None:
    for alert in alerts(planned(autoscaling={"min": 1, "max": 2}), "models"):
        assert alert.summary.startswith("chat: ")
        assert len(alert.action) > 20
        assert alert.severity in ("warning", "critical")
