"""One Grafana dashboard per engine, generated from what the engine tells about itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from modelberth.catalog import Metric, catalog
from modelberth.names import Measure
from modelberth.queries import metrics_of, per_pod, pods, quantile, rate

WIDTH, HEIGHT, COLUMNS = 12, 8, 2
SCHEMA = 39
"""Of dashboards (Grafana 11 and newer read it)."""
MATCHERS = f'namespace="$namespace",pod=~"{pods("$service")}"'
"""Pods of the service that is chosen on the dashboard."""


@dataclass(frozen=True)
class Panel:
    """One graph: a title, a unit of Grafana and the queries with their legends."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]


def panels(engine: str, versions: Sequence[str]) -> tuple[Panel, ...]:
    """The graphs of an engine; where versions name a metric differently, both names are asked for."""
    return tuple(_panels([metrics_of(engine, version) for version in versions]))


def _panels(known: Sequence[dict[Measure, Metric]]) -> Iterator[Panel]:
    def asked(measure: Measure, form: Callable[[Metric], str]) -> str:
        found = dict.fromkeys(form(metrics[measure]) for metrics in known if measure in metrics)
        return " or ".join(found)

    yield Panel("Replicas that answer", "short", ((f"count(up{{{MATCHERS}}} == 1)", "replicas"),))
    for title, unit, measure in (
        ("Requests waiting, per replica", "short", Measure.QUEUE),
        ("Requests running, per replica", "short", Measure.RUNNING),
        ("KV cache in use, per replica", "percentunit", Measure.KV_CACHE),
    ):
        if query := asked(measure, _gauge):
            yield Panel(title, unit, ((query, "{{pod}}"),))
    for title, unit, legends in (
        ("Tokens per second", "short", ((Measure.PROMPT_TOKENS, "prompt"), (Measure.GENERATION_TOKENS, "generated"))),
        ("Requests per second", "reqps", ((Measure.REQUESTS, "finished"), (Measure.ERRORS, "failed"))),
        ("Preemptions per second", "short", ((Measure.PREEMPTIONS, "preemptions"),)),
    ):
        queries = tuple((query, legend) for measure, legend in legends if (query := asked(measure, _flow)))
        if queries:
            yield Panel(title, unit, queries)
    for title, measure in (
        ("Time to the first token", Measure.TTFT),
        ("Time per output token", Measure.ITL),
        ("Time of a whole request", Measure.E2E),
    ):
        queries = tuple(
            (query, f"p{share * 100:.0f}")
            for share in (0.5, 0.95, 0.99)
            if (query := asked(measure, partial(_quantile, share)))
        )
        if queries:
            yield Panel(title, "s", queries)


def _gauge(metric: Metric) -> str:
    return per_pod(metric, MATCHERS)


def _flow(metric: Metric) -> str:
    return rate(metric, MATCHERS)


def _quantile(share: float, metric: Metric) -> str:
    return quantile(metric, MATCHERS, share)


def dashboard(engine: str, versions: Sequence[str]) -> dict[str, Any]:
    """The dashboard as Grafana imports it; variables choose the data source, the namespace and the service."""
    name = catalog().engine(engine).name
    return {
        "uid": f"modelberth-{engine.replace('_', '-')}",
        "title": f"{name} (modelberth)",
        "tags": ["modelberth", engine],
        "schemaVersion": SCHEMA,
        "timezone": "browser",
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": list(_variables())},
        "panels": [_panel(index, panel) for index, panel in enumerate(panels(engine, versions))],
    }


def _variables() -> Iterator[dict[str, Any]]:
    source = {"type": "prometheus", "uid": "${datasource}"}
    yield {"name": "datasource", "type": "datasource", "query": "prometheus"}
    every_pod = f'pod=~"{pods(".+")}"'
    for name, query, regex in (
        ("namespace", f"label_values(up{{{every_pod}}}, namespace)", ""),
        ("service", f'label_values(up{{namespace="$namespace",{every_pod}}}, pod)', "/(.+)-server-[0-9a-f]{8}-.+/"),
    ):
        yield {"name": name, "type": "query", "datasource": source, "query": query, "regex": regex, "refresh": 2}


def _panel(index: int, panel: Panel) -> dict[str, Any]:
    row, column = divmod(index, COLUMNS)
    return {
        "id": index + 1,
        "type": "timeseries",
        "title": panel.title,
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "gridPos": {"h": HEIGHT, "w": WIDTH, "x": column * WIDTH, "y": row * HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + number), "expr": query, "legendFormat": legend}
            for number, (query, legend) in enumerate(panel.queries)
        ],
    }
