"""Tables of docs/scaling.md and the dashboards beside it: signals, metrics by engine and version."""

from __future__ import annotations

import json

from modelberth.catalog import Metric, catalog
from modelberth.dashboards import dashboard
from modelberth.names import Measure
from modelberth.queries import metrics_of
from modelberth.versions import key


def signals() -> str:
    """Where scaling starts, by signal."""
    lines = ["| signal | threshold per replica | why | source |", "|---|---|---|---|"]
    for row in catalog().signals.values():
        unit = " x concurrency" if row.of_concurrency else ""
        lines.append(f"| `{row.signal}` | {row.threshold:g}{unit} | {row.reason} | {row.source} |")
    return "\n".join(lines)


def metrics() -> str:
    """What engines tell about themselves, in the version that is deployed by default."""
    engines = catalog().engines()
    known = {engine.id: metrics_of(engine.id, engine.default_version) for engine in engines}
    lines = ["| | " + " | ".join(f"{engine.name} {engine.default_version}" for engine in engines) + " |"]
    lines.append("|---" * (len(engines) + 1) + "|")
    for measure in Measure:
        cells = [f"`{_shown(found)}`" if (found := known[engine.id].get(measure)) else "-" for engine in engines]
        lines.append(f"| {measure} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _shown(metric: Metric) -> str:
    own = ",".join(f'{label}="{value}"' for label, value in metric.match.items())
    return f"{metric.name}{{{own}}}" if own else metric.name


def dashboards() -> dict[str, str]:
    """File name -> dashboard of each engine that has metrics: in the default version, or the first that has any."""
    found: dict[str, str] = {}
    for engine in catalog().engines():
        known = sorted({row.since for row in catalog().metrics if row.engine == engine.id}, key=key)
        if known:
            version = max(engine.default_version, known[0], key=key)
            found[f"{engine.id}.json"] = json.dumps(dashboard(engine.id, [version]), indent=1, sort_keys=True) + "\n"
    return found


TABLES = {"signals": signals, "metrics": metrics}
