"""Which packages reach a cluster or an account with credentials that happen to be there."""

from __future__ import annotations

_AMBIENT = frozenset(
    {"aws", "aws-native", "awsx", "azure", "azure-native", "eks", "gcp", "google-native", "kubernetes"}
)


def ambient(type_: str) -> bool:
    """Whether a resource of this type is made in whatever place the machine that deploys is logged in to."""
    return type_.partition(":")[0] in _AMBIENT
