"""Stacks of this project on stand-ins for their clouds and the shared embedded cluster."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from modelberth import stackfiles
from modelberth.lock import dump, settle
from tests.engine.conftest import copy_of_the_pack
from tests.providers import homes
from tests.providers.cloud import Cloud, Object
from toolchain import engine

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 300


@dataclass
class Stand:
    """A copy of one committed stack, with a cloud and a state of its own."""

    root: Path
    stack: str
    kubeconfig: Path | None
    source: Path = ROOT / "stacks"
    """The folder that the stack file lies in, with its lock and its base where it has them."""

    def __post_init__(self) -> None:
        """Copy what the engine needs."""
        for name in ("Pulumi.yaml", "__main__.py"):
            shutil.copy(ROOT / name, self.root / name)
        copy_of_the_pack(self.root)
        (self.root / ".venv").symlink_to(ROOT / ".venv")
        (self.root / "stacks").mkdir()
        for found in self.source.glob("*.yaml"):
            if found.name in (self.file.name, f"{self.stack}.plan.yaml") or not found.name.startswith("Pulumi."):
                shutil.copy(found, self.root / "stacks" / found.name)
        self.cloud = Cloud(self.root / "cloud")

    @property
    def file(self) -> Path:
        """The stack file."""
        return self.root / "stacks" / f"Pulumi.{self.stack}.yaml"

    def change(self, work: Callable[[dict[str, Any]], None]) -> None:
        """Change the five keys of the stack file, named without their prefix, in place."""
        document = yaml.safe_load(self.file.read_text())
        keys = {key.removeprefix("modelberth:"): value for key, value in document["config"].items()}
        work(keys)
        document["config"] = {f"modelberth:{key}": value for key, value in keys.items()}
        self.file.write_text(yaml.safe_dump(document, sort_keys=False))

    def lock(self) -> list[str]:
        """`modelberth plan --update`, in process; what it says of pools that change."""
        found = stackfiles.read(self.file)
        assert found.lock_path
        settled = settle(found.spec, found.locked, update=True, stack_name=self.stack)
        found.lock_path.write_text(dump(settled.lock))
        return [str(change) for change in settled.pool_changes]

    def pulumi(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the engine; output is captured, the exit code is the caller's business."""
        state = self.root / "state"
        return engine.run(
            [*arguments, "--stack", self.stack],
            root=self.root,
            state=state,
            check=False,
            capture=True,
            timeout_s=TIMEOUT_S,
            variables=homes.environment(self.root, state, self.cloud.folder, self.kubeconfig),
        )

    def up(self, *arguments: str, judged: bool = False, refused: bool = False) -> str:
        """`pulumi up`, ``judged`` by the policy pack, and what it printed."""
        pack = ["--policy-pack", str(self.root / "policies")] if judged else []
        return self._ran(["up", "--yes", "--skip-preview", *pack, *arguments], refused=refused)

    def destroy(self, *arguments: str, refused: bool = False) -> str:
        """`pulumi destroy`, and what it printed."""
        return self._ran(["destroy", "--yes", "--skip-preview", *arguments], refused=refused)

    def _ran(self, arguments: list[str], *, refused: bool) -> str:
        done = self.pulumi(*arguments, "--suppress-progress")
        text = done.stdout + done.stderr
        assert (done.returncode != 0) == refused, text
        return text

    def held(self) -> list[dict[str, Any]]:
        """What the engine's state holds."""
        exported = self.pulumi("stack", "export")
        return json.loads(exported.stdout)["deployment"].get("resources") or [] if exported.returncode == 0 else []

    def only(self, type_: str, having: str = "") -> Object:
        """The only object of a type whose resource's name ends so."""
        (found,) = (each for each in self.cloud.objects(type_) if each.urn.endswith(having))
        return found

    def changing(self, since: int) -> list[tuple[str, str]]:
        """The calls that changed something after a number of calls: method and type."""
        return [(each["method"], each["type"]) for each in self.cloud.calls()[since:] if each["method"] != "read"]
