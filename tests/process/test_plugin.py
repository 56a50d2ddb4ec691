"""The components as other languages see them, and in a program of one's own, under the real engine."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.providers import homes
from toolchain import engine
from toolchain.cluster import Cluster

pytestmark = pytest.mark.engine

ROOT = Path(__file__).resolve().parents[2]


def test_the_schema_of_the_components_is_the_reviewed_one(golden: Any, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()  # the engine wants every plugin whose SDK lies beside the components: the stand-ins are there
    variables = homes.environment(ROOT, state, tmp_path / "cloud", None)
    words = ["package", "get-schema", "./components"]
    done = engine.run(words, root=ROOT, state=state, capture=True, variables=variables)
    schema = json.dumps(json.loads(done.stdout), indent=1, sort_keys=True) + "\n"
    golden(ROOT / "tests" / "golden" / "schema.json", schema)


@pytest.fixture
def own_program(tmp_path: Path, cluster: Cluster) -> Path:
    root = tmp_path / "program"
    shutil.copytree(ROOT / "examples" / "own-program", root)
    project = yaml.safe_load((root / "Pulumi.yaml").read_text())
    project["runtime"]["options"]["virtualenv"] = str(ROOT / ".venv")
    (root / "Pulumi.yaml").write_text(yaml.safe_dump(project))
    settings = {"own-program:kubeconfig": str(cluster.kubeconfig), "own-program:namespace": "own"}
    (root / "Pulumi.dev.yaml").write_text(yaml.safe_dump({"config": settings}))
    return root


def preview(root: Path) -> Any:
    return engine.run(
        ["preview", "--stack", "dev"], root=root, state=root / ".state", check=False, capture=True, timeout_s=120
    )


def test_the_components_compose_in_a_program_of_ones_own(own_program: Path) -> None:
    done = preview(own_program)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "modelberth:index:LLMService chat" in done.stdout
    assert "kubernetes:apps/v1:Deployment chat-server" in done.stdout


def test_a_refused_service_in_a_program_registers_nothing_of_it_and_prints_no_trace(own_program: Path) -> None:
    program = own_program / "__main__.py"
    program.write_text(program.read_text().replace('"context": 8192', '"context": pulumi.Output.from_input(8192)'))
    done = preview(own_program)
    text = done.stdout + done.stderr
    assert done.returncode != 0
    assert "chat.context: is an Output" in text
    assert "Traceback" not in text
    assert "LLMService chat" not in text
