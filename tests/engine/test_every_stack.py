"""Every stack and every example on stand-ins and an embedded cluster: up, up again without a change, down."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelberth import stackfiles
from tests.engine.conftest import cluster_with_groups
from tests.engine.stands import ROOT, Stand
from tests.providers.cloud import Cloud
from toolchain.cluster import Cluster
from toolchain.kube import Kube

pytestmark = [pytest.mark.engine, pytest.mark.stacks]

NODES = [
    {"machine": "g2-standard-8", "count": 2, "zone": "us-central1-a"},
    {"machine": "g2-standard-8", "count": 2, "zone": "us-central1-b"},
    {"machine": "c3-standard-8", "count": 1, "zone": "us-central1-a"},
    {"machine": "own-1x-rtx-4090", "count": 2, "zone": "shelf1"},
]
"""What clusters that exist have; the others make their nodes."""
STACKS = {
    path.name.split(".")[1]: path
    for path in sorted([*(ROOT / "stacks").glob("Pulumi.*.yaml"), *(ROOT / "examples").glob("*/Pulumi.*.yaml")])
    if "modelberth:services" in path.read_text(encoding="utf-8") and path.name != "Pulumi.engines.yaml"
}
"""All but ``engines``, which has tests of its own."""


@dataclass
class Program(Stand):
    """A copy of an example that is a program of its own."""

    def __post_init__(self) -> None:
        """Copy it, with one stack."""
        shutil.copytree(self.source, self.root, dirs_exist_ok=True)
        manifest = yaml.safe_load((self.root / "Pulumi.yaml").read_text())
        manifest["runtime"]["options"]["virtualenv"] = ".venv"
        (self.root / "Pulumi.yaml").write_text(yaml.safe_dump(manifest))
        (self.root / f"Pulumi.{self.stack}.yaml").write_text("config: {}\n")
        (self.root / ".venv").symlink_to(ROOT / ".venv")
        self.cloud = Cloud(self.root / "cloud")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of its own, with nodes of one's own too, the controller for groups, and k3s' class of volumes."""
    with cluster_with_groups(tmp_path_factory.mktemp("stacks"), NODES) as made:
        kube = Kube(made.kubeconfig)
        simulated = kube.get("/apis/storage.k8s.io/v1/storageclasses/simulated")
        kept = {key: simulated[key] for key in ("apiVersion", "kind", "provisioner", "volumeBindingMode")}
        kube.create({**kept, "metadata": {"name": "local-path"}})
        yield made


def on(cluster: Cluster, kind: str, keys: dict[str, Any]) -> None:
    """A stack on this cluster: simulated pods load quickly, and what exists is reached at its address."""
    target = keys.setdefault("target", {})
    target["pod_annotations"] = {"modelberth.dev/simulated-load": "1s"}
    if kind == "existing":
        target["kubeconfig"] = str(cluster.kubeconfig)
    else:
        target.setdefault(kind, {})["deletion_protection"] = False


def up_again_and_down(stand: Stand) -> None:
    try:
        stand.up()
        stand.up("--expect-no-changes")
    finally:
        stand.pulumi("state", "unprotect", "--all", "--yes")  # as the refusal of what is protected says
        stand.destroy()
    assert [each["urn"] for each in stand.held() if each["type"] != "pulumi:pulumi:Stack"] == []


@pytest.mark.parametrize("name", STACKS)
def test_a_stack_comes_up_stays_as_it_is_and_goes(name: str, cluster: Cluster, tmp_path: Path) -> None:
    stand = Stand(tmp_path, name, cluster.kubeconfig, STACKS[name].parent)
    kind = stackfiles.read(stand.file).spec.target.kind
    stand.change(lambda keys: on(cluster, kind, keys))
    stand.lock()
    up_again_and_down(stand)


def test_the_program_that_composes_the_parts_by_hand_does_too(cluster: Cluster, tmp_path: Path) -> None:
    up_again_and_down(Program(tmp_path, "dev", cluster.kubeconfig, ROOT / "examples" / "by-hand"))
