"""Stands in for `gcloud`: lists and deletes what the stand-in's cloud holds, in the JSON that the real one prints.

It knows the commands of modelberth/clouds/live.yaml and refuses any other; options that narrow a listing must be there.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from tests.providers.backend import Backend, Refused
from tests.providers.cloud import Cloud, Object

KINDS = {
    "compute networks": "gcp:compute/network:Network",
    "compute networks subnets": "gcp:compute/subnetwork:Subnetwork",
    "compute routers": "gcp:compute/router:Router",
    "compute routers nats": "gcp:compute/routerNat:RouterNat",
    "compute firewall-rules": "gcp:compute/firewall:Firewall",
    "compute resource-policies": "gcp:compute/resourcePolicy:ResourcePolicy",
    "container clusters": "gcp:container/cluster:Cluster",
    "container node-pools": "gcp:container/nodePool:NodePool",
    "kms keyrings": "gcp:kms/keyRing:KeyRing",
    "kms keys": "gcp:kms/cryptoKey:CryptoKey",
    "iam service-accounts": "gcp:serviceaccount/account:Account",
    "iam roles": "gcp:projects/iAMCustomRole:IAMCustomRole",
    "storage buckets": "gcp:storage/bucket:Bucket",
    "artifacts repositories": "gcp:artifactregistry/repository:Repository",
}


def shown(found: Object) -> dict[str, Any]:
    """An object as a listing shows it."""
    outputs = found.outputs
    kept = ("description", "labels", "resourceLabels", "effectiveLabels")
    entry = {key: outputs[key] for key in kept if outputs.get(key)}
    if "effectiveLabels" in entry:
        key = "resourceLabels" if "clusters" in found.id else "labels"
        entry[key] = entry.pop("effectiveLabels")
    if labels := outputs.get("nodeConfig", {}).get("resourceLabels"):
        entry["config"] = {"resourceLabels": labels}
    return {"name": outputs.get("name", found.id), **entry}


def main(words: list[str]) -> int:
    """Answer one command."""
    options = dict(each.removeprefix("--").partition("=")[::2] for each in words if each.startswith("--"))
    plain = [each for each in words if not each.startswith("--")]
    verb = "delete" if "delete" in plain else "list"
    kind = KINDS.get(" ".join(plain[: plain.index(verb)])) if verb in plain else None
    if kind is None:
        print(f"the stand-in for gcloud does not know: {' '.join(plain)}", file=sys.stderr)
        return 2
    cloud = Cloud.of_environment()
    lies_in = [options[each] for each in ("project", "cluster", "router", "keyring") if each in options]
    if kind == "gcp:storage/bucket:Bucket":
        lies_in = []
    there = [each for each in cloud.objects(kind) if all(f"/{part}/" in f"/{each.id}/" for part in lies_in)]
    if verb == "list":
        print(json.dumps([shown(each) for each in there]))
        return 0
    named = plain[plain.index(verb) + 1].removeprefix("gs://")
    for found in there:
        if found.id.rpartition("/")[2] == named:
            try:
                Backend("gcp", cloud).delete("", kind, found.id, found.inputs)
            except Refused as refused:
                print(refused, file=sys.stderr)
                return 1
            return 0
    print(f"there is no {named}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
