"""What only a cloud can refuse, a name that is taken or a quota: one clear error, nothing lost, a way out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.engine.gke_stands import Stand, cleared
from tests.providers.backend import Backend
from toolchain.cluster import Cluster
from toolchain.kube import Kube

pytestmark = pytest.mark.engine

NAMESPACE = "bad-clouds"
BUCKET, POOL = "gcp:storage/bucket:Bucket", "gcp:container/nodePool:NodePool"
THEIRS = "example-dev-modelberth-dev-models"


def keys(weights: str, **cluster: Any) -> dict[str, Any]:
    return {
        "target": {
            "kind": "gke",
            "namespace": NAMESPACE,
            "pod_annotations": {"modelberth.dev/simulated-load": "1s"},
            "gke": {
                "project": "example-dev",
                "project_number": "123456789012",
                "region": "us-central1",
                "zones": ["us-central1-a", "us-central1-b"],
                "deletion_protection": False,
            }
            | cluster,
        },
        "pools": {"l4": {"accelerators": ["nvidia-l4"], "max_nodes": 2}},
        "weights": {weights: {"kind": "bucket"}},
        "services": {
            "chat": {
                "model": "Qwen/Qwen2.5-7B-Instruct",
                "context": 8192,
                "concurrency": 8,
                "typical_tokens": 3000,
                "pool": "l4",
                "weights": weights,
            }
        },
    }


def test_a_stack_with_every_kind_of_mistake_is_told_all_of_them_and_asks_the_cloud_nothing(
    tmp_path: Path, cluster: Cluster
) -> None:
    config = keys("models", system={"machine_type": "p5.48xlarge"})
    config["pools"]["l4"] |= {"zones": ["us-west1-a"], "boot_disk_gib": 1}
    config["weights"]["spare"] = {"kind": "bucket", "bucket": "BAD"}
    stand = Stand(tmp_path, cluster.kubeconfig, "dev", config)
    stand.write()
    text = stand.up(refused=True)
    assert "4 problems, nothing was created" in text
    for path in (
        "target.gke.system.machine_type",
        "pools.l4.zones[0]",
        "pools.l4.boot_disk_gib",
        "weights.spare.bucket",
    ):
        assert f"{path}: " in text
    assert stand.cloud.calls() == []
    assert stand.state() == []


def test_a_bucket_that_is_somebody_elses_and_a_quota_stop_an_update_and_lose_nothing(
    tmp_path: Path, cluster: Cluster, kube: Kube
) -> None:
    stand = Stand(tmp_path, cluster.kubeconfig, "dev", keys("models"))
    Backend("gcp", stand.cloud).put(BUCKET, {"name": THEIRS, "location": "EU", "project": "somebody-else"})
    try:
        stand.lock()
        assert f"Error 409: {THEIRS} exists already" in stand.up(refused=True)
        stand.config = keys("ours")  # the way out of docs/targets/gke.md
        stand.lock()
        limits = stand.cloud.folder / "quota.yaml"
        limits.write_text("NVIDIA_L4_GPUS: 0\n")
        assert "resource 'NVIDIA_L4_GPUS': request requires" in stand.up(refused=True)
        limits.unlink()
        stand.up()
        made = len(stand.cloud.calls())
        stand.up("--expect-no-changes")
        assert stand.cloud.calls()[made:] == []
        assert {each.id for each in stand.cloud.objects(BUCKET)} == {THEIRS, THEIRS.replace("models", "ours")}
        assert len([each for each in stand.cloud.objects(POOL) if "-pool-l4" in each.id]) == 1
    finally:
        cleared(kube, NAMESPACE)
