"""The file that holds what was decided: its text, and what is no decision at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import yaml
from pydantic import ValidationError

from modelberth.catalog import catalog
from modelberth.decision import Decision, PoolDecision
from modelberth.documents import mapping
from modelberth.engines import ENGINES
from modelberth.errors import ModelberthError, UnknownName
from modelberth.plan import SCHEMA_VERSION

HEADER = (
    "# What was decided for each service. "
    "Committed and reviewed like a lock file; changed by `modelberth plan --update`.\n"
)

Lock = Mapping[str, Decision]


class Locked(dict[str, Decision]):
    """The decisions of services by name, and those of node pools that are made."""

    def __init__(self, services: Lock, pools: Mapping[str, PoolDecision] | None = None) -> None:
        super().__init__(services)
        self.pools: Mapping[str, PoolDecision] = pools or {}


def dump(lock: Lock) -> str:
    """A lock as the text of its file."""
    services = {name: lock[name].model_dump(mode="json", exclude_none=True) for name in sorted(lock)}
    pools = {name: pool.model_dump(mode="json", exclude_defaults=True) for name, pool in sorted(pools_of(lock).items())}
    body = {"schema_version": SCHEMA_VERSION, "services": services} | ({"pools": pools} if pools else {})
    return HEADER + yaml.safe_dump(body, sort_keys=False, width=120)


def pools_of(lock: Lock) -> Mapping[str, PoolDecision]:
    """The pools of a lock; none of one that holds services only."""
    return lock.pools if isinstance(lock, Locked) else {}


def load(text: str, name: str) -> Locked:
    """The text of a lock file. Raises :class:`ModelberthError` when it is not one."""
    document = mapping(text, name)
    version = document.get("schema_version")
    if version != SCHEMA_VERSION:
        raise ModelberthError(
            f"{name}: schema_version {version!r} is not {SCHEMA_VERSION}; delete it and run modelberth plan --update"
        )
    services = document.get("services")
    if not isinstance(services, dict):
        raise ModelberthError(f"{name}: services must be a mapping")
    found: dict[str, Decision] = {}
    for service, fields in cast("dict[object, object]", services).items():
        try:
            found[str(service)] = Decision.model_validate(fields)
        except ValidationError as error:
            where = ".".join(map(str, error.errors()[0]["loc"]))
            raise ModelberthError(f"{name}: services.{service}.{where}: {error.errors()[0]['msg']}") from None
        nonsense = _nonsense(found[str(service)])
        if nonsense:
            raise ModelberthError(f"{name}: services.{service}.{nonsense}; delete it and run modelberth plan --update")
    return Locked(found, _load_pools(document.get("pools", {}), name))


def _load_pools(pools: object, name: str) -> dict[str, PoolDecision]:
    if not isinstance(pools, dict):
        raise ModelberthError(f"{name}: pools must be a mapping")
    found: dict[str, PoolDecision] = {}
    for pool, fields in cast("dict[object, object]", pools).items():
        try:
            found[str(pool)] = PoolDecision.model_validate(fields)
        except ValidationError as error:
            where = ".".join(map(str, error.errors()[0]["loc"]))
            raise ModelberthError(f"{name}: pools.{pool}.{where}: {error.errors()[0]['msg']}") from None
    return found


def _nonsense(decision: Decision) -> str | None:
    """The first field that no plan could have written; None for a decision that makes sense."""
    if decision.engine not in ENGINES:
        return f"engine: {decision.engine!r} is none of {', '.join(ENGINES)}"
    for field in ("tensor_parallel", "pipeline_parallel", "context", "concurrency"):
        if getattr(decision, field) < 1:
            return f"{field}: must be at least 1"
    try:
        machine = catalog().machine(decision.machine_type)
    except UnknownName as unknown:
        return f"machine_type: {unknown}"
    if decision.accelerator != (machine.gpu or "cpu"):
        return f"accelerator: {machine.id} has {machine.gpu or 'no GPU'}, not {decision.accelerator}"
    return None
