"""What a deployer is allowed on Google Cloud, as a custom role."""

from __future__ import annotations

from collections.abc import Iterable

from .permissions import needs

ACT_AS = "iam.serviceAccounts.actAs"


def permissions(types: Iterable[str]) -> tuple[str, ...]:
    """The least permissions that make, change and remove resources of some types, sorted.

    Raises :class:`~modelberth.clouds.permissions.Unlisted` for a type without a row.
    """
    found = needs("gcp", types)
    calls = {call for row in found for call in row.calls}
    return tuple(sorted(calls | ({ACT_AS} if any(row.acts_as for row in found) else set())))


def custom_role(types: Iterable[str], title: str = "modelberth deployer") -> str:
    """The role as YAML, for ``gcloud iam roles create ID --project=PROJECT --file=FILE``."""
    lines = [
        f"title: {title}",
        "description: Makes, changes and removes what a modelberth stack registers on Google Cloud.",
        "stage: GA",
        "includedPermissions:",
    ]
    return "\n".join([*lines, *(f"- {each}" for each in permissions(types))]) + "\n"
