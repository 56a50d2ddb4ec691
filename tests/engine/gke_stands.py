"""Projects of a test's own on a cloud that stand-ins play, by the real engine, with nodes for node pools."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from modelberth import stackfiles
from modelberth.lock import dump, settle
from tests.engine.conftest import copy_of_the_pack
from tests.providers import homes
from tests.providers.cloud import Cloud, Object
from toolchain import engine
from toolchain.cluster.objects import POOL, SIMULATED
from toolchain.kube import Kube, KubeError, Manifest

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 400
SPOKEN = re.compile(r"^ +- \[(?:mandatory|advisory)\].*$", re.MULTILINE)


@dataclass
class Stand:
    """This project's program with one stack, on a cloud of its own."""

    root: Path
    kubeconfig: Path
    stack: str = "dev"
    config: dict[str, Any] = field(default_factory=dict[str, Any])
    """The five keys of the stack file; `write` writes them."""

    def __post_init__(self) -> None:
        self.cloud = Cloud(self.root / "cloud")
        if (self.root / "stacks").is_dir():
            return  # a second stack of the same project, on the same cloud
        for name in ("Pulumi.yaml", "__main__.py"):
            shutil.copy(ROOT / name, self.root / name)
        copy_of_the_pack(self.root)
        (self.root / ".venv").symlink_to(ROOT / ".venv")
        (self.root / "stacks").mkdir()

    @property
    def file(self) -> Path:
        """The stack file."""
        return self.root / "stacks" / f"Pulumi.{self.stack}.yaml"

    def write(self) -> None:
        """Write the stack file, and nothing of its lock."""
        self.file.write_text(
            yaml.safe_dump({"config": {f"modelberth:{key}": each for key, each in self.config.items()}})
        )

    def lock(self) -> None:
        """`modelberth plan --update`, in process."""
        self.write()
        found = stackfiles.read(self.file)
        assert found.lock_path
        found.lock_path.write_text(dump(settle(found.spec, found.locked, update=True).lock))

    def pulumi(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the engine; output is captured, the exit code is the caller's business."""
        variables = homes.environment(self.root, self.root / ".state", self.cloud.folder, self.kubeconfig)
        return engine.run(
            [*arguments, "--stack", self.stack],
            root=self.root,
            state=self.root / ".state",
            check=False,
            capture=True,
            timeout_s=TIMEOUT_S,
            variables=variables,
        )

    def ran(self, *arguments: str, refused: bool = False, policies: bool = False) -> str:
        """What a run that ends as expected printed."""
        pack = ["--policy-pack", str(self.root / "policies")] if policies else []
        done = self.pulumi(*arguments, "--suppress-progress", *pack)
        text = done.stdout + done.stderr
        assert (done.returncode != 0) == refused, text
        assert "Traceback" not in text
        return text

    def preview(self, *arguments: str, refused: bool = False, policies: bool = False) -> str:
        """`pulumi preview`."""
        return self.ran("preview", *arguments, refused=refused, policies=policies)

    def up(self, *arguments: str, refused: bool = False, policies: bool = False) -> str:
        """`pulumi up`."""
        return self.ran("up", "--yes", "--skip-preview", *arguments, refused=refused, policies=policies)

    def refresh(self, *arguments: str) -> str:
        """`pulumi refresh`."""
        return self.ran("refresh", "--yes", "--skip-preview", *arguments)

    def destroy(self, *arguments: str, refused: bool = False) -> str:
        """`pulumi destroy`."""
        return self.ran("destroy", "--yes", "--skip-preview", *arguments, refused=refused)

    def state(self) -> list[dict[str, Any]]:
        """What the engine's state holds, the stack itself left out."""
        exported = self.pulumi("stack", "export")
        held = json.loads(exported.stdout)["deployment"].get("resources") or [] if not exported.returncode else []
        return [each for each in held if each["type"] != "pulumi:pulumi:Stack"]

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs."""
        return json.loads(self.pulumi("stack", "output", "--json").stdout)

    def since(self, calls: int) -> list[tuple[str, str]]:
        """The calls that changed the cloud after a number of calls: method and type."""
        return [(each["method"], each["type"]) for each in self.cloud.calls()[calls:] if each["method"] != "read"]

    def only(self, type_: str) -> Object:
        """The only object of a type."""
        (found,) = self.cloud.objects(type_)
        return found


def cleared(kube: Kube, *namespaces: str) -> None:
    """Take away what stacks left in the cluster when their cloud is a folder that nobody needs any more."""
    for namespace in namespaces:
        kube.delete(f"/api/v1/namespaces/{namespace}")
    for node in kube.list("/api/v1/nodes", labels=f"{SIMULATED}=true"):
        if POOL in node["metadata"].get("annotations", {}):
            kube.delete(f"/api/v1/nodes/{node['metadata']['name']}")


def findings(text: str) -> list[str]:
    """What the policy pack said in a run, notes left out."""
    return SPOKEN.findall(text)


@dataclass(frozen=True)
class Moment:
    """What was to be seen at once: nodes by pool with their readiness, pods with their node and readiness."""

    nodes: dict[str, bool]
    pods: dict[str, tuple[str, bool]]

    @property
    def ready(self) -> int:
        """Pods that take requests."""
        return sum(ready for _, ready in self.pods.values())


@contextmanager
def watched(kube: Kube, namespace: str, service: str, nodes: str) -> Iterator[list[Moment]]:
    """What happens meanwhile to the serving pods of a service and to the nodes with a label, in the order seen."""
    seen: list[Moment] = []
    stop = threading.Event()
    labels = f"app.kubernetes.io/instance={service},modelberth.dev/role=server"

    def look() -> None:
        while not stop.is_set():
            try:
                there = {each["metadata"]["name"]: _is_ready(each) for each in kube.list("/api/v1/nodes", labels=nodes)}
                pods = kube.list(f"/api/v1/namespaces/{namespace}/pods", labels=labels)
            except KubeError:
                continue
            found = {each["metadata"]["name"]: (each["spec"].get("nodeName", ""), _is_ready(each)) for each in pods}
            moment = Moment(there, found)
            if not seen or seen[-1] != moment:
                seen.append(moment)
            time.sleep(0.05)

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield seen
    finally:
        stop.set()
        watcher.join()


def _is_ready(found: Manifest) -> bool:
    conditions = {each["type"]: each["status"] for each in found["status"].get("conditions", [])}
    return conditions.get("Ready") == "True" and "deletionTimestamp" not in found["metadata"]
