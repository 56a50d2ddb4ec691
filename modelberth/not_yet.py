"""What the frozen schema has and nothing implements yet: setting it is an error, never ignored."""

from __future__ import annotations

from modelberth.parts import ModelRef, Part, Traffic
from modelberth.spec import ServiceSpec

NOT_YET: dict[type[Part], frozenset[str]] = {
    ServiceSpec: frozenset(
        {
            "capacity",
            "slo",
        }
    ),
    ModelRef: frozenset({"architecture"}),
    Traffic: frozenset({"requests_per_second", "tokens_per_month"}),
}
"""Fields of the frozen schema that nothing implements yet; setting one is an error."""
