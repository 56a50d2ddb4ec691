"""Quotas of a Google Cloud project as gcloud prints them.

Documents: compute.regions.get and compute.projects.get (cloud.google.com/compute/docs/reference/rest/v1: ``quotas`` of
metric, limit, usage), and QuotaInfo (cloud.google.com/docs/quotas/reference/rest/v1: ``dimensionsInfos`` with the value
as text, -1 for no limit). A family of GPUs without a value is not known: it is shown for both none and the default.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from pydantic import TypeAdapter

from modelberth.clouds.limits import Ask, Limit
from modelberth.clouds.quotas import QuotaNeed
from modelberth.targets import Gke

FAMILIES = "GPUS-PER-GPU-FAMILY-per-project-region"
_OF_FAMILY = "GPUS_PER_GPU_FAMILY"
_PROJECT = re.compile(r"projects/([^/]+)")


@dataclass(frozen=True)
class _Quota:
    metric: str
    limit: float
    usage: float | None = None


@dataclass(frozen=True)
class _Quotas:
    """A region or a project: both list quotas."""

    kind: str
    name: str
    quotas: list[_Quota]
    selfLink: str = ""  # noqa: N815 (the cloud's spelling)


@dataclass(frozen=True)
class _Details:
    value: str | None = None


@dataclass(frozen=True)
class _Dimensions:
    dimensions: Mapping[str, str] = field(default_factory=dict[str, str])
    details: _Details = _Details()
    applicableLocations: list[str] = field(default_factory=list[str])  # noqa: N815


@dataclass(frozen=True)
class _Info:
    name: str
    dimensionsInfos: list[_Dimensions]  # noqa: N815


def asks(of: Gke, needs: Iterable[QuotaNeed]) -> Iterator[Ask]:
    """The commands that print what is needed."""
    wanted = tuple(needs)
    where, form = f"--project={of.project}", "--format=json"
    if any(need.regional and not need.name.startswith(_OF_FAMILY) for need in wanted):
        yield Ask(("gcloud", "compute", "regions", "describe", of.region, where, form))
    if any(not need.regional for need in wanted):
        yield Ask(("gcloud", "compute", "project-info", "describe", where, form))
    if any(need.name.startswith(_OF_FAMILY) for need in wanted):
        service = "--service=compute.googleapis.com"
        yield Ask(("gcloud", "beta", "quotas", "info", "describe", FAMILIES, service, where, form))


def limits(text: str) -> tuple[Limit, ...]:
    """What a document of one of these commands says. Raises ValueError for any other."""
    if '"dimensionsInfos"' in text:
        return tuple(_families(TypeAdapter(_Info).validate_json(text)))
    found = TypeAdapter(_Quotas).validate_json(text)
    if found.kind not in ("compute#region", "compute#project"):
        raise ValueError(found.kind)
    region = found.name if found.kind == "compute#region" else None
    project = _project(found.selfLink) if region else found.name
    return tuple(Limit(project, region, each.metric, each.limit, each.usage) for each in found.quotas)


def _families(found: _Info) -> Iterator[Limit]:
    project = _project(found.name)
    values: dict[tuple[str, str], str | None] = {}
    for each in sorted(found.dimensionsInfos, key=lambda info: "region" in info.dimensions):
        family, region = each.dimensions.get("gpu_family"), each.dimensions.get("region")
        for place in [region] if region else each.applicableLocations:
            if family:
                values[family, place] = each.details.value
    for (family, place), value in values.items():
        if value is not None:
            limit = None if int(value) < 0 else float(value)
            yield Limit(project, place, f"{_OF_FAMILY} (gpu_family: {family})", limit)


def _project(link: str) -> str:
    found = _PROJECT.search(link)
    return found.group(1) if found else ""


def how_to_raise(of: Gke, need: QuotaNeed, amount: int) -> str:
    """Where a larger limit is asked for."""
    where = f", {of.region}" if need.regional else ""
    page = f"https://console.cloud.google.com/iam-admin/quotas?project={of.project}"
    return f"ask for {amount} of {need.name}{where} at {page}"
