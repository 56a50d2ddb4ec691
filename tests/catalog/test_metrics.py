"""Names of metrics against pages that engines served; those of engines that do not run here are written and say so."""

from __future__ import annotations

import pytest

from modelberth.catalog import Kind, Metric, catalog
from modelberth.names import Measure, Signal
from modelberth.queries import metrics_of
from tests.judges import prometheus

Of = tuple[str, str]
PAGED: list[Of] = [
    ("vllm", "0.32.0"),
    ("vllm", "0.33.0"),
    ("sglang", "0.5.23"),
    ("tgi", "3.3.7"),
    ("llamacpp", "b10434"),
    ("tensorrt_llm", "1.3.0"),
]
"""(engine, version) of every page."""


def on_page(metric: Metric, of: Of) -> bool:
    """Whether a page has the metric, of this kind and with these labels."""
    text = prometheus.page(of, "busy")
    family = metric.name.removesuffix("_sum")
    kind = prometheus.kinds(text).get(metric.name) or prometheus.kinds(text).get(family)
    name = f"{metric.name}_bucket" if metric.kind is Kind.HISTOGRAM else metric.name
    found = [dict(labels) for name_, labels in prometheus.samples(text) if name_ == name]
    right_kind = kind == metric.kind.value or (kind == "histogram" and metric.name.endswith("_sum"))
    return right_kind and any(metric.match.items() <= labels.items() for labels in found)


@pytest.mark.parametrize(
    ("of", "measure"), [(of, measure) for of in PAGED for measure in metrics_of(*of)], ids=lambda value: str(value)
)
def test_a_page_has_every_metric_that_is_named(of: Of, measure: Measure) -> None:
    metric = metrics_of(*of)[measure]
    assert on_page(metric, of), metric.name


@pytest.mark.parametrize(
    "change", [{"name": "vllm:num_request_waiting"}, {"kind": Kind.COUNTER}, {"match": {"model": "any"}}]
)
def test_a_wrong_name_kind_or_label_is_noticed(change: dict[str, object]) -> None:
    metric = metrics_of("vllm", "0.33.0")[Measure.QUEUE]
    assert on_page(metric, ("vllm", "0.33.0"))
    assert not on_page(metric.model_copy(update=change), ("vllm", "0.33.0"))


def test_pages_say_whether_they_were_recorded_or_written() -> None:
    for path in sorted(prometheus.PAGES.glob("*.prom")):
        first = path.read_text(encoding="utf-8").splitlines()[0]
        assert first.startswith(("# recorded from ", "# written, not recorded: ")), path.name


def test_a_metric_of_an_old_version_is_not_that_of_a_new_one() -> None:
    assert metrics_of("vllm", "0.8.5")[Measure.KV_CACHE].name == "vllm:gpu_cache_usage_perc"
    assert metrics_of("vllm", "0.9.0")[Measure.KV_CACHE].name == "vllm:kv_cache_usage_perc"


def test_no_engine_has_two_names_for_one_measure_at_once() -> None:
    for engine in catalog().engines():
        for version in (*engine.versions, engine.default_version):
            rows = [row for row in catalog().metrics if row in metrics_of(engine.id, version).values()]
            assert len({row.measure for row in rows}) == len(rows)


def test_every_signal_but_a_custom_one_has_a_default_threshold_with_a_reason() -> None:
    assert set(catalog().signals) == {signal.value for signal in Signal if signal is not Signal.CUSTOM}
    assert all(row.reason for row in catalog().signals.values())


def test_an_engine_without_metrics_has_none() -> None:
    assert metrics_of("ollama", "0.34.0") == {}
