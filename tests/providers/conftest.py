"""Small projects that use the official SDKs, run by the real engine with the stand-ins as plugins."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.providers import homes
from tests.providers.cloud import Cloud, Fault, Object

TIMEOUT_S = 600
ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(__file__).resolve().parent / "programs"


@dataclass
class Project:
    """A program, its stack `dev` and the cloud that it changes."""

    root: Path
    program: str
    kubeconfig: Path | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    """What the program reads from a file beside it, so that tests can change it between runs."""
    counted: bool = False
    """Whether calls of the Kubernetes provider are counted and met by faults too."""

    def __post_init__(self) -> None:
        """Write the project."""
        self.cloud = Cloud(self.root / "cloud")
        (self.root / "Pulumi.yaml").write_text(
            yaml.safe_dump({"name": "stand-ins", "runtime": {"name": "python", "options": {"virtualenv": ".venv"}}})
        )
        (self.root / "Pulumi.dev.yaml").write_text("{}\n")
        (self.root / ".venv").symlink_to(Path(sys.executable).parent.parent)
        (self.root / "__main__.py").write_text((PROGRAMS / f"{self.program}.py").read_text())

    def pulumi(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the engine; output is captured, the exit code is the caller's business."""
        (self.root / "settings.json").write_text(json.dumps(self.settings))
        state = self.root / "state"
        state.mkdir(exist_ok=True)
        variables = homes.environment(self.root, state, self.cloud.folder, self.kubeconfig, counted=self.counted)
        return subprocess.run(
            ["pulumi", *arguments, "--stack", "dev", "--non-interactive"],
            cwd=self.root,
            env=variables,
            check=False,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )

    def moved(self) -> None:
        """Told to a copy in another folder; one that has names to itself takes new ones."""

    def left(self) -> None:
        """Told when nobody needs what it made any more."""

    def init(self) -> None:
        """Make the stack."""
        done = self.pulumi("stack", "init")
        assert done.returncode == 0, done.stderr

    def up(self, *arguments: str, refused: bool = False) -> str:
        """`pulumi up`, and what it printed."""
        return self._ran("up", "--yes", "--skip-preview", *arguments, refused=refused)

    def _ran(self, *arguments: str, refused: bool = False) -> str:
        done = self.pulumi(*arguments, "--suppress-progress")
        text = done.stdout + done.stderr
        assert (done.returncode != 0) == refused, text
        return text

    def preview(self, *arguments: str, refused: bool = False) -> str:
        """`pulumi preview`, and what it printed."""
        return self._ran("preview", *arguments, refused=refused)

    def refresh(self, *arguments: str) -> str:
        """`pulumi refresh`, and what it printed."""
        return self._ran("refresh", "--yes", "--skip-preview", *arguments)

    def destroy(self, *arguments: str, refused: bool = False) -> str:
        """`pulumi destroy`, and what it printed."""
        return self._ran("destroy", "--yes", "--skip-preview", *arguments, refused=refused)

    def take_over(self, type_: str, name: str, id_: str, *, provider: str) -> str:
        """`pulumi import` of something that exists, and what it printed."""
        held = json.loads(self.pulumi("stack", "export").stdout)["deployment"]["resources"]
        urn = next(each["urn"] for each in held if each["urn"].endswith(f"::{provider}"))
        options = ["--provider", f"{provider}={urn}", "--protect=false", "--generate-code=false", "--yes"]
        return self._ran("import", type_, name, id_, *options, "--skip-preview")

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs."""
        return json.loads(self.pulumi("stack", "output", "--json").stdout)

    def resources(self) -> list[dict[str, Any]]:
        """What the engine's state holds of the clouds."""
        held = json.loads(self.pulumi("stack", "export").stdout)["deployment"].get("resources") or []
        return [each for each in held if each["type"].startswith(("gcp:", "aws:"))]

    def pending(self) -> list[dict[str, Any]]:
        """Operations that the engine began and does not know the end of."""
        return json.loads(self.pulumi("stack", "export").stdout)["deployment"].get("pending_operations") or []

    def only(self, type_: str) -> Object:
        """The only object of a type."""
        (found,) = self.cloud.objects(type_)
        return found

    def plan(self, *faults: Fault) -> None:
        """Let things go wrong."""
        self.cloud.plan(*faults)


def changing(stack: Project, since: int) -> list[tuple[str, str]]:
    """The calls that changed something after a number of calls: method and type."""
    return [(each["method"], each["type"]) for each in stack.cloud.calls()[since:] if each["method"] != "read"]


@pytest.fixture(scope="module")
def make_project(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Project]:
    """A factory of projects, each with a stack that is empty."""

    def make(program: str, kubeconfig: Path | None = None, **settings: Any) -> Project:
        project = Project(tmp_path_factory.mktemp(program), program, kubeconfig, settings)
        project.init()
        return project

    return make
