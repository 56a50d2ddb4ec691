"""A stack of a cloud as people run it, in a copy of the project: stand-ins play the cloud."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.engine.conftest import run_in
from tests.engine.stands import Stand
from toolchain import played

pytestmark = pytest.mark.engine


def destroys_as_in_an_account(clone: Path, stack: str) -> None:
    """What CLOUD=real does, by a pulumi on PATH that somebody installed and that is logged in to the stand-ins."""
    variables = played.Played(stack, clone).variables() | {"CLOUD": "real", "PULUMI_SKIP_CONFIRMATIONS": "true"}
    installed = clone / "installed" / "pulumi"
    installed.parent.mkdir()
    installed.write_text(f'#!/bin/sh\nexec {shutil.which("pulumi", path=variables["PATH"])} "$@"\n')
    installed.chmod(0o755)
    variables["PATH"] = os.pathsep.join([str(installed.parent), variables["PATH"]])
    done = run_in(clone, "local", "down", stack, variables=variables)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"pulumi destroy --exclude-protected --stack {stack}" in done.stdout
    keeps = next(line for line in done.stdout.splitlines() if line.startswith("the account keeps 5: "))
    assert "gcp:storage/bucket:Bucket example-dev-modelberth-dev-chat-weights" in keeps
    assert "gcp:kms/cryptoKey:CryptoKey" in keeps


def test_a_stack_of_a_cloud_comes_up_on_stand_ins_says_so_first_and_leaves_nothing(clone: Path) -> None:
    up = run_in(clone, "local", "up", "dev")
    assert up.returncode == 0, up.stdout + up.stderr
    assert up.stdout.splitlines()[0] == (
        "stack dev: target gke, played by stand-ins on this machine; no account is used (CLOUD=real would)"
    )
    assert "chat  ready 1/1" in up.stdout
    destroys_as_in_an_account(clone, "dev")
    down = run_in(clone, "local", "down", "dev")
    assert down.returncode == 0, down.stdout + down.stderr
    assert "an account would keep 5: " in down.stdout
    assert not (clone / played.FOLDER / "dev").exists()
    assert not (clone / ".modelberth" / "state").exists()


OF_GKE = {
    "project": "example-dev",
    "project_number": "123456789012",
    "region": "us-central1",
    "zones": ["us-central1-a", "us-central1-b"],
    "cluster": "prod-ml",
    "kms_key": "projects/example-dev/locations/us-central1/keyRings/ml/cryptoKeys/weights",
    "deletion_protection": False,
}
OF_EKS = {
    "account": "123456789012",
    "region": "us-east-1",
    "zones": ["us-east-1a", "us-east-1b"],
    "cluster": "prod-ml",
    "network": {
        "vpc": "vpc-0123456789abcdef0",
        "subnets": {"us-east-1a": "subnet-0123456789abcdef0", "us-east-1b": "subnet-0123456789abcdef1"},
    },
    "node_role": "arn:aws:iam::123456789012:role/nodes",
    "kms_key": "arn:aws:kms:us-east-1:123456789012:key/11111111-0000-4000-8000-222222222222",
    "deletion_protection": False,
}


@pytest.mark.stacks
@pytest.mark.parametrize(("kind", "cloud"), [("gke", OF_GKE), ("eks", OF_EKS)], ids=["gke", "eks"])
def test_what_a_stack_names_as_existing_is_there_on_stand_ins_and_is_named(
    kind: str, cloud: dict[str, Any], clone: Path
) -> None:
    chat = {"model": "Qwen/Qwen2.5-7B-Instruct", "context": 8192, "concurrency": 8, "pool": "l4", "weights": "models"}
    keys = {
        "target": {"kind": kind, "namespace": "models", kind: cloud},
        "pools": {"l4": {"accelerators": ["nvidia-l4"], "max_nodes": 1}},
        "weights": {"models": {"kind": "bucket", "bucket": "models-of-ours"}},
        "services": {"chat": chat},
    }
    document = {"config": {f"modelberth:{key}": value for key, value in keys.items()}}
    (clone / "stacks" / f"Pulumi.on-{kind}.yaml").write_text(yaml.safe_dump(document))
    up = run_in(clone, "local", "up", f"on-{kind}")
    assert up.returncode == 0, up.stdout + up.stderr
    assert "stand-in: Cluster prod-ml is there, as the stack says" in up.stdout
    assert "stand-in: Bucket models-of-ours is there, as the stack says" in up.stdout
    assert "chat  ready 1/1" in up.stdout
    down = run_in(clone, "local", "down", f"on-{kind}")
    assert down.returncode == 0, down.stdout + down.stderr


@pytest.mark.parametrize("name", ["dev", "staging"])
def test_the_first_of_two_steps_makes_the_cluster_and_the_namespace_that_secrets_lie_in_and_nothing_that_waits(
    name: str, tmp_path: Path
) -> None:
    stand = Stand(tmp_path, name, None)
    done = stand.pulumi("preview", "--json", "--target", "**Cluster**")
    assert done.returncode == 0, done.stdout + done.stderr
    made = {step["urn"].rpartition("::")[2] for step in json.loads(done.stdout)["steps"] if step["op"] == "create"}
    assert {"target-cluster", "target-system", "target-kubernetes", "target-namespace"} <= made
    assert {each.partition("-")[0] for each in made} <= {"modelberth", "target"}
    assert [each for each in made if "-pool-" in each] == []
