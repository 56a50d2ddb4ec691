"""Tables of docs/weights.md: where weights can lie, at which rates, and one ranking in full."""

from __future__ import annotations

from modelberth.catalog import catalog
from modelberth.clouds.places import Offer, all_offers, offers
from modelberth.storage import Need, choose_storage
from modelberth.units import GIB


def places() -> str:
    """Every way by cloud, with its rates for one node."""
    lines = ["| kind | what it is | MiB/s of one node: slow, counted with, fast | set up from here | source |"]
    lines.append("|---|---|---|---|---|")
    for offer in all_offers():
        made = "yes" if offer.made else "no"
        lines.append(f"| `{offer.way}` | {offer.name} | {_rates(offer)} | {made} | {offer.source} |")
    return "\n".join(lines)


def _rates(offer: Offer) -> str:
    if offer.mib_per_s:
        return f"{offer.slow_mib_per_s:,.0f}, {offer.mib_per_s:,.0f}, {offer.fast_mib_per_s:,.0f}"
    if offer.mib_per_s_per_tib:
        slow, fast = offer.slow_mib_per_s_per_tib, offer.fast_mib_per_s_per_tib
        return f"{slow:,.0f}, {offer.mib_per_s_per_tib:,.0f}, {fast:,.0f} per TiB"
    return "not known"


def ranking() -> str:
    """What the planner says of 70 GiB on two nodes in one region."""
    need = Need(
        engine="vllm",
        engine_version=catalog().engine("vllm").default_version,
        machine=catalog().machine("a3-highgpu-1g"),
        stored_bytes=70 * GIB,
        fewest_replicas=1,
        most_replicas=2,
        zones=("us-central1-a",),
        region="us-central1",
        gpus=1,
    )
    return "\n".join(["```", *choose_storage(need, offers("gcp", "gke")).lines(), "```"])


TABLES = {"places": places, "ranking": ranking}
