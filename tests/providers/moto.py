"""The objects that a program made, judged by a server that answers as the APIs of AWS do."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.providers.cloud import Object
from toolchain import judges

REPLAY = Path(__file__).with_name("moto_replay.py")
TIMEOUT_S = 120
UNKNOWN = {
    "aws:autoscaling/tag:Tag": "is of a group that EKS makes, and the server's node groups have none",
    "aws:ec2/capacityReservation:CapacityReservation": "has no such operation",
    "aws:ec2/placementGroup:PlacementGroup": "has no such operation",
    "aws:eks/accessEntry:AccessEntry": "has no such operation",
    "aws:eks/accessPolicyAssociation:AccessPolicyAssociation": "has no such operation",
    "aws:eks/addon:Addon": "has no such operation",
    "aws:eks/podIdentityAssociation:PodIdentityAssociation": "has no such operation",
    "aws:fsx/dataRepositoryAssociation:DataRepositoryAssociation": "has no such operation",
}
"""Types that moto 5.2.5 cannot judge, with the reason; what it says of the operations is asked anew on each run."""


SILENT = frozenset({"aws:s3/bucket:Bucket", "aws:s3/bucketNotification:BucketNotification"})
"""Types of which nothing that was sent is shown again: a bucket's name is how it is found."""


def problems(objects: Sequence[Object]) -> list[str]:
    """All that the server would not take, showed otherwise, or has come to know; empty when all is well."""
    found = judged(objects)
    lines = [f"{token}: the server has the operation now: judge it" for token in found["now_known"]]
    for each in found["objects"]:
        if each.get("missing"):
            lines += [] if each["type"] in UNKNOWN else [f"{each['type']}: moto_replay.py has no row"]
            continue
        lines += [f"{each['type']}: {reason}" for reason in each["wrong"]]
        lines += [f"{each['type']}: no request takes {key}" for key in each["unsent"]]
        if not each["wrong"] and (each["same"] == 0) != (each["type"] in SILENT):
            lines.append(f"{each['type']}: {each['same']} values came back")
    return lines


def judged(objects: Sequence[Object]) -> dict[str, Any]:
    """What the server said: per object the values that came back, inputs that were not sent, what was wrong."""
    python, port = str(judges.moto()), _free_port()
    clean = {"PATH": "/usr/bin:/bin", "MOTO_IAM_LOAD_MANAGED_POLICIES": "true"}
    serve = [python, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(serve, env=clean, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            text = json.dumps([asdict(each) for each in objects])
            done = judges.run(python, str(REPLAY), str(port), stdin=text, env=clean, timeout_s=TIMEOUT_S)
        finally:
            server.terminate()
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
