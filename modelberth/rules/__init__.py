"""The rules: what resources must satisfy for a model to be served. Pure functions over Resource and Inventory."""

from __future__ import annotations

from modelberth.rules import (
    arguments,
    balancers,
    clusters,
    disruption,
    host,
    hygiene,
    images,
    memory,
    metadata,
    network,
    placement,
    pools,
    probes,
    provenance,
    providers,
    quantization,
    record,
    references,
    requests,
    rollout,
    scaling,
    secrets,
    security,
    sizing,
    spending,
    startup,
    storage,
    supply,
    versions,
)
from modelberth.rules.base import Rule

_FAMILIES = ("SZ", "WH", "CS")
_MODULES = (
    arguments,
    balancers,
    clusters,
    disruption,
    host,
    hygiene,
    images,
    memory,
    metadata,
    network,
    placement,
    pools,
    probes,
    provenance,
    providers,
    quantization,
    record,
    references,
    requests,
    rollout,
    scaling,
    secrets,
    security,
    sizing,
    spending,
    startup,
    storage,
    supply,
    versions,
)
_RULES = tuple(rule for module in _MODULES for rule in module.RULES)
ALL: tuple[Rule, ...] = tuple(sorted(_RULES, key=lambda rule: (_FAMILIES.index(rule.id[:2]), rule.id)))
"""Every rule: sizing, workload hygiene, cloud and cost."""

__all__ = ["ALL", "Rule"]
