"""Rows about versions that are not safe or not served any more: advisories of engines, API versions of Kubernetes."""

from __future__ import annotations

from datetime import date
from functools import cache
from importlib.resources import files
from typing import Annotated, Literal

from pydantic import Field

from modelberth.catalog.loader import read_rows
from modelberth.catalog.schema import Row, Text

Minor = Annotated[int, Field(ge=1)]


class Advisory(Row):
    """A hole in an engine's versions from ``since`` (inclusive, None: the first) to ``fixed_in`` (exclusive).

    ``engine`` is an engine of the catalog, or ``triton`` for Triton's own releases. ``only_with`` names what must be
    served for it to be reachable; empty: anything. ``summary`` completes "... lets callers" or the like by itself.
    """

    id: Text
    engine: Text
    severity: Literal["critical", "high", "medium"]
    since: Text | None = None
    fixed_in: Text
    only_with: Literal["", "vision"] = ""
    summary: Text
    published: date


class ApiVersion(Row):
    """Kinds that an API version of Kubernetes served until minor ``removed_in`` of version 1 (None: still does)."""

    api_version: Text
    kinds: tuple[Text, ...]
    deprecated_in: Minor
    removed_in: Minor | None = None
    instead: str
    """The API version to use, empty where there is none."""


@cache
def advisories() -> tuple[Advisory, ...]:
    """Every advisory that is known."""
    return read_rows(files("modelberth.catalog") / "advisories.yaml", Advisory)


@cache
def api_versions() -> tuple[ApiVersion, ...]:
    """Every API version that is deprecated or gone."""
    return read_rows(files("modelberth.catalog") / "api_versions.yaml", ApiVersion)


__all__ = ["Advisory", "ApiVersion", "advisories", "api_versions"]
