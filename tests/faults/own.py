"""A stack file of this project, run by this project's program, as something that faults can meet."""

from __future__ import annotations

import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.faults.rounds import Scenario
from tests.providers import nodes
from tests.providers.cloud import Cloud
from tests.providers.conftest import ROOT, Project
from toolchain.kube import Kube

STACK_FILES = ROOT / "stacks"


@dataclass
class OwnStack(Project):
    """`program` is the name of a stack file; each copy has a namespace of its own on the shared cluster."""

    counted: bool = True

    def __post_init__(self) -> None:
        """Copy what the engine needs; the stack is called dev here, whatever it is called there."""
        self.cloud = Cloud(self.root / "cloud")
        for name in ("Pulumi.yaml", "__main__.py"):
            shutil.copy(ROOT / name, self.root / name)
        (self.root / ".venv").symlink_to((ROOT / ".venv").resolve())
        (self.root / "stacks").mkdir()
        shutil.copy(STACK_FILES / "base.yaml", self.root / "stacks" / "base.yaml")
        lock = STACK_FILES / f"{self.program}.plan.yaml"
        if lock.is_file():
            shutil.copy(lock, self.root / "stacks" / "dev.plan.yaml")
        shutil.copy(STACK_FILES / f"Pulumi.{self.program}.yaml", self._file)
        self.moved()

    @property
    def _file(self) -> Path:
        return self.root / "stacks" / "Pulumi.dev.yaml"

    def moved(self) -> None:
        """Take a namespace that nobody else has."""
        self._namespace = f"faults-{uuid.uuid4().hex[:8]}"
        content = yaml.safe_load(self._file.read_text())
        target = content["config"]["modelberth:target"]
        target["namespace"] = self._namespace
        if "kubeconfig" in target:
            target["kubeconfig"] = str(self.kubeconfig)
        self._file.write_text(yaml.safe_dump(content))

    def left(self) -> None:
        """Take the namespace off the cluster, and the nodes that came with node pools."""
        assert self.kubeconfig is not None
        kube = Kube(self.kubeconfig)
        kube.delete(f"/api/v1/namespaces/{self._namespace}")
        for each in self.cloud.objects():
            nodes.vanish(kube, nodes.owner(str(self.cloud.folder.absolute()), each.id))


def from_nothing(stack: str, kubeconfig: Path) -> Scenario:
    """The first `up` of a stack file, on the embedded cluster."""

    def start(root: Path) -> Project:
        project = OwnStack(root, stack, kubeconfig)
        project.init()
        return project

    return Scenario(stack, start)
