"""What a deployer must be allowed for each target, for docs/targets: from the types that its stacks register.

The types are those of the golden stacks of a target. A target without a golden stack has those of the hardened stack
that tests judge. A type that no row speaks of stops the generator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache, partial
from pathlib import Path
from typing import Any

import yaml

from modelberth.clouds import aws_permissions, gcp_permissions, kinds

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = ROOT / "tests" / "golden"
HARDENED = ROOT / "tests" / "judges" / "stacks"
PACKAGES = {"gke": "gcp:", "eks": "aws:", "existing": "modelberth:index:ExistingCluster"}
"""Target -> what the type of some resource of its stacks begins with."""
Roles = Callable[[Iterable[str]], str]


@cache
def _golden() -> tuple[frozenset[str], ...]:
    """The types of each golden stack."""
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return tuple(
        frozenset(each["type"] for each in yaml.load_all(path.read_text(encoding="utf-8"), loader))
        for path in sorted(GOLDEN.glob("*/resources.yaml"))
    )


def registered(target: str) -> frozenset[str]:
    """Every type that stacks of a target register."""
    package = PACKAGES[target]
    found = [types for types in _golden() if any(each.startswith(package) for each in types)]
    hardened = HARDENED / f"{target}.yaml"
    if not found and hardened.is_file():
        found = [frozenset(each["type"] for each in yaml.safe_load(hardened.read_text())["resources"])]
        found += [types for types in _golden() if any(each.startswith(PACKAGES["existing"]) for each in types)]
    return frozenset().union(*found)


def _custom_role(types: Iterable[str]) -> str:
    return f"```yaml\n{gcp_permissions.custom_role(types)}```"


def _policies(types: Iterable[str]) -> str:
    return "\n\n".join(f"```json\n{each}\n```" for each in aws_permissions.policies(types))


def _in_the_cluster(types: Iterable[str]) -> str:
    return f"```yaml\n{kinds.cluster_roles(types)}```"


def _written(target: str, roles: Roles) -> str:
    return roles(registered(target))


TABLES: dict[str, Callable[[], str]] = {
    "cloud permissions gke": partial(_written, "gke", _custom_role),
    "cloud permissions eks": partial(_written, "eks", _policies),
    **{f"cluster permissions {target}": partial(_written, target, _in_the_cluster) for target in PACKAGES},
}
