"""What a stack names as existing, made to exist before it is created: on stand-ins nobody else could have made it.

`python -m tests.providers.existing STACK_FILE` does it for one stack, in the folder that the environment names.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelberth import stackfiles
from modelberth.spec import StackSpec
from modelberth.targets import Eks, Gke
from tests.providers import aws, gcp
from tests.providers.backend import Backend
from tests.providers.cloud import Cloud, Object

BUCKETS = {"gcp": ("gcp:storage/bucket:Bucket", "name"), "aws": ("aws:s3/bucket:Bucket", "bucket")}


@dataclass(frozen=True)
class Found:
    """Something that is there: its inputs, and what the cloud would make up and the spec says."""

    type: str
    inputs: dict[str, Any]
    said: dict[str, Any]

    def __str__(self) -> str:
        name = self.said.get("name", self.said.get("id"))
        return f"{self.type.rpartition(':')[2]} {name}"


def seed(spec: StackSpec, cloud: Cloud) -> list[str]:
    """Put there what the spec names and the folder does not hold yet, in the order of what refers to what."""
    made: list[str] = []
    managed = spec.target.managed
    if managed is None:
        return made
    package = "gcp" if isinstance(managed, Gke) else "aws"
    backend = Backend(package, cloud)
    backend.configured({"region": managed.region} | ({"project": managed.project} if isinstance(managed, Gke) else {}))
    of_target = _gke(managed) if isinstance(managed, Gke) else _eks(managed)
    for found in (*of_target, *_buckets(spec, package)):
        if _is_there(cloud, found):
            continue
        each = backend.put(found.type, found.inputs)
        _as_said(cloud, each, found.said)
        backend.embedded.settle(each, "")
        made.append(str(found))
    return made


def _is_there(cloud: Cloud, found: Found) -> bool:
    key = "id" if "id" in found.said else "name"
    return any(
        each.id == found.said[key] or each.outputs.get(key) == found.said[key] for each in cloud.objects(found.type)
    )


def _as_said(cloud: Cloud, made: Object, said: dict[str, Any]) -> None:
    """The object under the id that the spec says, with what follows from it."""
    with cloud.changed() as state:
        found = state.objects.pop(made.key)
        given = said.get("id", found.id)
        found.outputs |= {key: value for key, value in said.items() if key != "id"}
        found.id = made.id = given
        state.objects[found.key] = found


def _gke(of: Gke) -> Iterator[Found]:
    if of.kms_key:
        ring, _, name = of.kms_key.partition("/cryptoKeys/")
        where, _, ring_name = ring.partition("/keyRings/")
        location = where.rpartition("/")[2]
        yield Found(
            "gcp:kms/keyRing:KeyRing", {"name": ring_name, "location": location}, {"id": ring, "name": ring_name}
        )
        yield Found("gcp:kms/cryptoKey:CryptoKey", {"name": name, "keyRing": ring}, {"id": of.kms_key, "name": name})
    if of.network:
        network = f"projects/{of.project}/global/networks/{of.network.network}"
        yield Found(
            "gcp:compute/network:Network", {"name": of.network.network}, {"id": network, "name": of.network.network}
        )
        inputs = {"name": of.network.subnetwork, "network": network, "ipCidrRange": "10.0.0.0/20"}
        yield Found("gcp:compute/subnetwork:Subnetwork", inputs, {"name": of.network.subnetwork})
    if of.cluster and of.cluster.name:
        id_ = f"projects/{of.project}/locations/{of.region}/clusters/{of.cluster.name}"
        inputs = {
            "name": of.cluster.name,
            "location": of.region,
            "nodeLocations": list(of.zones),
            "workloadIdentityConfig": {"workloadPool": f"{of.project}.svc.id.goog"},
        }
        yield Found(gcp.CLUSTER, inputs, {"id": id_, "name": of.cluster.name})


def _eks(of: Eks) -> Iterator[Found]:
    if of.kms_key:
        yield Found("aws:kms/key:Key", {}, {"id": of.kms_key.rpartition("/")[2], "arn": of.kms_key})
    role = of.node_role or f"arn:{of.partition}:iam::{of.account}:role/of-the-cluster"
    if of.cluster or of.node_role:
        name = role.rpartition("/")[2]
        yield Found(
            "aws:iam/role:Role", {"name": name, "assumeRolePolicy": "{}"}, {"id": name, "name": name, "arn": role}
        )
    if of.network:
        yield Found(aws.VPC, {"cidrBlock": "10.0.0.0/16"}, {"id": of.network.vpc})
        for number, (zone, subnet) in enumerate(sorted(of.network.subnets.items())):
            inputs = {"vpcId": of.network.vpc, "availabilityZone": zone, "cidrBlock": f"10.0.{number * 16}.0/20"}
            yield Found(aws.SUBNET, inputs, {"id": subnet})
    if of.cluster and of.cluster.name and of.network:
        subnets = sorted(of.network.subnets.values())
        inputs = {"name": of.cluster.name, "roleArn": role, "vpcConfig": {"subnetIds": subnets}}
        yield Found(aws.CLUSTER, inputs, {"id": of.cluster.name, "name": of.cluster.name})


def _buckets(spec: StackSpec, package: str) -> Iterator[Found]:
    kind, key = BUCKETS[package]
    for name in sorted({store.bucket for store in spec.weights.values() if store.bucket}):
        yield Found(kind, {key: name, "location": "US"} if package == "gcp" else {key: name}, {"id": name})


if __name__ == "__main__":
    for line in seed(stackfiles.read(Path(sys.argv[1])).spec, Cloud.of_environment()):
        print(f"stand-in: {line} is there, as the stack says")
