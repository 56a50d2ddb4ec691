"""Writes `aws_operations.json`: what the AWS APIs accept, read off the service models that botocore ships.

Run by hand where botocore is installed: `python -m tests.providers.read_service_models`. Kept are names, allowed
values, lengths, ranges and patterns; nothing of botocore is needed afterwards.
"""

from __future__ import annotations

import gzip
import importlib.metadata
import json
from pathlib import Path
from typing import Any

OPERATIONS = {
    "ec2": [
        "CreateCapacityReservation", "CreateFlowLogs", "CreateLaunchTemplate", "CreateNatGateway",
        "CreatePlacementGroup", "CreateSecurityGroup", "CreateSubnet", "CreateVpc", "CreateVpcEndpoint",
    ],
    "eks": [
        "AssociateAccessPolicy", "CreateAccessEntry", "CreateAddon", "CreateCluster", "CreateNodegroup",
        "CreatePodIdentityAssociation",
    ],
    "fsx": ["CreateDataRepositoryAssociation", "CreateFileSystem"],
    "iam": ["AttachRolePolicy", "CreatePolicy", "CreateRole", "PutRolePolicy"],
    "kms": ["CreateAlias", "CreateKey", "PutKeyPolicy"],
    "logs": ["CreateLogGroup"],
    "s3": ["CreateBucket", "PutBucketEncryption", "PutBucketOwnershipControls", "PutBucketVersioning"],
}  # fmt: skip
NAMED = {"ec2": ["InstanceType"]}
"""Shapes that are of use by themselves."""
DEEPEST = 9
LEFT_OUT = frozenset({"TagSpecifications"})
FILE = Path(__file__).with_name("aws_operations.json")


def shape(model: dict[str, Any], name: str, depth: int = 0) -> Any:
    """One shape, without documentation and without what says nothing."""
    found = model["shapes"][name]
    if depth > DEEPEST:
        return {}
    if found["type"] == "structure":
        members = {
            key: shape(model, each["shape"], depth + 1)
            for key, each in sorted(found["members"].items())
            if key not in LEFT_OUT
        }
        members = {key: each for key, each in members.items() if each}
        return {"members": members} if members else {}
    if found["type"] == "list":
        item = shape(model, found["member"]["shape"], depth + 1)
        limits = {key: found[key] for key in ("min", "max") if key in found}
        return {**limits, **({"item": item} if item else {})}
    if found["type"] == "map":
        return {}
    kept = {key: found[key] for key in ("enum", "min", "max", "pattern") if key in found}
    return (
        {"type": "number" if found["type"] in ("integer", "long", "double", "float") else found["type"], **kept}
        if kept
        else {}
    )


def main() -> None:
    """Write the file."""
    data = Path(str(importlib.metadata.distribution("botocore").locate_file("botocore/data")))
    operations, shapes = {}, {}
    for service, names in OPERATIONS.items():
        newest = max((data / service).iterdir())
        model = json.loads(gzip.decompress((newest / "service-2.json.gz").read_bytes()))
        for name in names:
            operations[f"{service}.{name}"] = shape(model, model["operations"][name]["input"]["shape"])
        for name in NAMED.get(service, []):
            shapes[f"{service}.{name}"] = shape(model, name)
    source = f"service models of botocore {importlib.metadata.version('botocore')}"
    FILE.write_text(
        json.dumps({"source": source, "operations": operations, "shapes": shapes}, separators=(",", ":")) + "\n"
    )


if __name__ == "__main__":
    main()
