"""Rows about metrics: what an engine tells about itself, and the signals that replicas may follow."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from modelberth.catalog.schema import Row, Text
from modelberth.names import Measure, Signal


class Kind(StrEnum):
    """Kind of a metric."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


class Metric(Row):
    """One metric of an engine, from version ``since`` (inclusive) to ``until`` (exclusive).

    ``name`` is that of the exposition format, for a histogram without ``_bucket``; ``match`` are labels that select the
    series meant. ``unit``: requests, preemptions, tokens, seconds, or share (0 to 1).
    """

    engine: Text
    measure: Measure
    name: Text
    match: dict[Text, Text] = Field(default_factory=dict[str, str])
    kind: Kind
    unit: Text
    since: Text
    until: Text | None = None


class SignalDefault(Row):
    """Where scaling starts when nobody states a threshold: a value per replica, or a share of ``concurrency``."""

    signal: Signal
    threshold: Annotated[float, Field(gt=0)]
    of_concurrency: bool = False
    reason: Text
