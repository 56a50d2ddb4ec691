"""PromQL over an engine's metrics: which series belong to a service, and their totals, rates and quantiles."""

from __future__ import annotations

from modelberth.catalog import Kind, Metric, catalog
from modelberth.names import Measure
from modelberth.versions import key

WINDOW = "5m"
"""Of rates: four scrapes at the usual interval of a minute or less."""


def metrics_of(engine: str, version: str) -> dict[Measure, Metric]:
    """What an engine of this version tells about itself; empty for an engine without metrics."""
    at = key(version)
    return {
        row.measure: row
        for row in catalog().metrics
        if row.engine == engine and key(row.since) <= at and (row.until is None or at < key(row.until))
    }


def pods(service: str) -> str:
    """Regular expression of the names of a service's pods: the workload has a generated suffix of eight digits."""
    return f"{service}-server-[0-9a-f]{{8}}-.+"


def where(namespace: str, service: str) -> str:
    """Label matchers of a service's pods; ``namespace`` and ``pod`` are labels that every usual scrape config sets."""
    return f'namespace="{namespace}",pod=~"{pods(service)}"'


def series(metric: Metric, matchers: str, suffix: str = "") -> str:
    """The series of a metric: ``name{labels}``."""
    own = [f'{label}="{value}"' for label, value in metric.match.items()]
    return f"{metric.name}{suffix}{{{','.join([*own, matchers])}}}"


def per_pod(metric: Metric, matchers: str) -> str:
    """A gauge, one value per pod: shares of several ranks are averaged, counts added."""
    return f"{'avg' if metric.unit == 'share' else 'sum'} by (pod) ({series(metric, matchers)})"


def total(metric: Metric, matchers: str) -> str:
    """A gauge over all pods, to be divided by the number of replicas."""
    return f"sum({per_pod(metric, matchers)})" if metric.unit == "share" else f"sum({series(metric, matchers)})"


def rate(metric: Metric, matchers: str) -> str:
    """Per second, over all pods; of a histogram the observations."""
    suffix = "_count" if metric.kind is Kind.HISTOGRAM else ""
    return f"sum(rate({series(metric, matchers, suffix)}[{WINDOW}]))"


def quantile(metric: Metric, matchers: str, share: float) -> str:
    """A quantile of a histogram, in its unit."""
    return f"histogram_quantile({share}, sum by (le) (rate({series(metric, matchers, '_bucket')}[{WINDOW}])))"
