"""Projects of a test's own, run by the real engine against the shared embedded cluster."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelberth import stackfiles
from modelberth.lock import dump, settle
from tests.conftest import copy_of_tracked
from toolchain import engine
from toolchain.cluster import Cluster, down, lws, processes, up
from toolchain.kube import Kube

ROOT = Path(__file__).resolve().parents[2]
POLICIES = ROOT / "policies"
TIMEOUT_S = 240


@contextmanager
def cluster_with_groups(folder: Path, nodes: Sequence[Mapping[str, Any]]) -> Iterator[Cluster]:
    """A cluster of its own with these nodes and the controller for groups, whose webhooks see every pod of one."""
    (folder / "nodes.yaml").write_text(yaml.safe_dump(nodes))
    try:
        made = up(folder / "cluster", folder / "nodes.yaml")
        controller = lws.install(made)
        yield made
        controller.stop()  # while the API server still answers, so that it need not be killed
    finally:
        down(folder / "cluster", purge=True)
    assert list(processes.marked(folder / "cluster")) == []


def copy_of_the_pack(root: Path) -> None:
    """The pack beside the program that it judges, whose locks it reads; those of this project are of other stacks."""
    shutil.copytree(POLICIES, root / "policies", ignore=shutil.ignore_patterns("__pycache__"))


@dataclass
class Project:
    """A copy of the project with one stack called dev, its state beside it."""

    root: Path
    kubeconfig: Path
    namespace: str = field(default_factory=lambda: f"test-{uuid.uuid4().hex[:8]}")
    environment: dict[str, str] = field(default_factory=dict)

    def write(self, services: dict[str, Any], **keys: Any) -> Path:
        """Write the stack file; ``keys`` replace the other four keys."""
        config = {
            "target": {
                "kind": "existing",
                "kubeconfig": str(self.kubeconfig),
                "namespace": self.namespace,
                "node_labels": "gcp",
                "storage_class": "simulated",
                "pod_annotations": {"modelberth.dev/simulated-load": "1s"},
            },
            "pools": {
                "l4": {"accelerators": ["nvidia-l4"], "machine_types": ["g2-standard-8"], "max_nodes": 2},
                "cpu": {"accelerators": ["cpu"], "machine_types": ["c3-standard-8"], "max_nodes": 1},
            },
            **keys,
            "services": services,
        }
        path = self.root / "stacks" / "Pulumi.dev.yaml"
        path.write_text(yaml.safe_dump({"config": {f"modelberth:{key}": value for key, value in config.items()}}))
        return path

    def lock(self) -> None:
        """`modelberth plan --update dev`, in process."""
        found = stackfiles.read(self.root / "stacks" / "Pulumi.dev.yaml")
        assert found.lock_path
        found.lock_path.write_text(dump(settle(found.spec, found.locked, update=True).lock))

    def pulumi(self, *arguments: str, policies: bool = False) -> subprocess.CompletedProcess[str]:
        """Run the engine; output is captured, the exit code is the caller's business."""
        extra = ["--policy-pack", str(self.root / "policies")] if policies else []
        return engine.run(
            [*arguments, "--stack", "dev", *extra],
            root=self.root,
            state=self.root / ".state",
            check=False,
            capture=True,
            timeout_s=TIMEOUT_S,
        )

    def resources(self) -> list[dict[str, Any]]:
        """What the state holds, the stack itself left out."""
        exported = self.pulumi("stack", "export")
        if exported.returncode:
            return []
        held = json.loads(exported.stdout)["deployment"].get("resources") or []
        return [resource for resource in held if resource["type"] != "pulumi:pulumi:Stack"]

    def files(self) -> Iterator[Path]:
        """Every file of the project and its state."""
        return (path for path in self.root.rglob("*") if path.is_file() and not path.is_symlink())


@pytest.fixture(scope="module")
def make_project(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> Iterator[Any]:
    """A factory of projects; what they created is destroyed at the end."""
    made: list[Project] = []

    def make() -> Project:
        root = tmp_path_factory.mktemp("project")
        for name in ("Pulumi.yaml", "__main__.py"):
            shutil.copy(ROOT / name, root / name)
        copy_of_the_pack(root)
        (root / ".venv").symlink_to(ROOT / ".venv")
        (root / "stacks").mkdir()
        made.append(Project(root, cluster.kubeconfig))
        return made[-1]

    yield make
    for project in made:
        if project.resources():
            project.pulumi("destroy", "--yes", "--suppress-outputs")


@pytest.fixture
def project(make_project: Any) -> Project:
    """A fresh project."""
    return make_project()


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What git tracks, in another place, as a repository of its own."""
    work = tmp_path_factory.mktemp("clone")
    root = work / "modelberth"
    copy_of_tracked(root, work)
    (root / ".venv").symlink_to(ROOT / ".venv")
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "copy"]):
        identity = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
        subprocess.run(["git", *identity, *command], cwd=root, check=True, capture_output=True)
    return root


def run_in(
    clone: Path, module: str, *words: str, variables: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """A command of the toolchain, as `make` runs it in that clone; ``variables`` are its environment, not this one."""
    return subprocess.run(
        [sys.executable, "-m", f"toolchain.{module}", *words],
        cwd=clone,
        capture_output=True,
        text=True,
        check=False,
        env={**(variables or os.environ), "PYTHONPATH": str(clone)},
        timeout=400,
    )


def pods_of(kube: Kube, namespace: str, service: str) -> list[dict[str, Any]]:
    """The serving pods of one service."""
    labels = f"app.kubernetes.io/instance={service},modelberth.dev/role=server"
    return kube.list(f"/api/v1/namespaces/{namespace}/pods", labels=labels)
