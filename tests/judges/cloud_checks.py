"""What checkov says of the cloud half of a stack, and what it may say."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.judges.terraform_plan import Registered, plan
from toolchain import judges


@dataclass(frozen=True, order=True)
class Failed:
    """A check that failed, for the address `type.name` of a resource."""

    check: str
    address: str

    @property
    def type(self) -> str:
        """Terraform's type of the resource."""
        return self.address.partition(".")[0]


@dataclass(frozen=True)
class Judged:
    """One stack, judged."""

    failed: frozenset[Failed]
    passed: frozenset[Failed]

    @property
    def kinds(self) -> set[tuple[str, str]]:
        """Check and type of what failed, as the suppressions have it."""
        return {(each.check, each.type) for each in self.failed}


def checkov_cloud(folder: Path, *stacks: Iterable[Registered]) -> list[Judged]:
    """Judge the cloud half of each stack by itself. ``folder`` takes the plans. A thousand resources take a minute."""
    files = [folder / f"plan-{index}.json" for index in range(len(stacks))]
    for file, stack in zip(files, stacks, strict=True):
        file.write_text(json.dumps(plan(stack), indent=1))
    return [
        Judged(*(frozenset(Failed(*each) for each in said) for said in (checked.failed, checked.passed)))
        for checked in judges.checkov_plans(*files)
    ]


SUPPRESSED: dict[tuple[str, str], str] = {
    (
        "CKV_GCP_12",
        "google_container_cluster",
    ): "Dataplane V2 enforces policies: the block is the same request without it",
    (
        "CKV_GCP_65",
        "google_container_cluster",
    ): "RBAC by Google Groups needs a group of the user's own Workspace domain",
    (
        "CKV_AWS_39",
        "aws_eks_cluster",
    ): "public to the networks that a stack names, so that a deployer reaches it; never to all",
    (
        "CKV_GCP_62",
        "google_storage_bucket",
    ): "weights are public models; reads are in audit logs where they are turned on",
    ("CKV_AWS_18", "aws_s3_bucket"): "weights are public models; reads are in CloudTrail where they are turned on",
    ("CKV2_AWS_62", "aws_s3_bucket"): "nothing waits for an event: pods read weights when they start",
    (
        "CKV_AWS_144",
        "aws_s3_bucket",
    ): "weights are had again from the hub at the pinned revision; GPUs are in one region",
}
"""Checks that fail on purpose: (check, Terraform's type), and the reason."""
