"""Outside judges over all that the components render: schemas of several Kubernetes versions, hardening, real flags."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelberth.preflight import NEWEST_MINOR, OLDEST_MINOR
from tests.proofs import PARSER, claims
from toolchain import judges

pytestmark = pytest.mark.engine
proves = claims("llamacpp", "b10434", PARSER)

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
STACKS = sorted(path.parent.name for path in GOLDEN.glob("*/resources.yaml"))

SUPPRESSED = {
    "CKV_K8S_15": "IfNotPresent with pinned images: a registry outage must not stop a restart",
    "CKV_K8S_35": "API keys reach engines as environment variables from Secrets: they read nothing else",
    "CKV_K8S_43": "tags of pinned versions; a digest is the user's to state (image_digest), profile prod or not",
}
"""Checks that fail on purpose, each with its reason; exactly these."""

PLUGIN = "DaemonSet.nvidia-device-plugin.nvidia-device-plugin"
"""What tells nodes of their GPUs where that is ours to install; test_kubernetes_stacks.py judges it."""


def manifests(stack: str) -> list[dict[str, Any]]:
    """The Kubernetes objects of a golden, with the names the cluster would give them."""
    found = []
    for registration in yaml.safe_load_all((GOLDEN / stack / "resources.yaml").read_text()):
        if registration["type"].startswith("kubernetes:"):
            manifest = registration["inputs"]
            manifest["metadata"].setdefault("name", registration["name"])
            found.append(manifest)
    return found


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """One file of manifests for each golden."""
    folder = tmp_path_factory.mktemp("rendered")
    files = [folder / f"{stack}.yaml" for stack in STACKS]
    for stack, file in zip(STACKS, files, strict=True):
        file.write_text(yaml.safe_dump_all(manifests(stack)))
    return files


@pytest.mark.parametrize("minor", range(OLDEST_MINOR, NEWEST_MINOR + 1))
def test_every_object_is_valid_for_a_kubernetes_version(rendered: list[Path], minor: int) -> None:
    assert judges.kubernetes_validate(f"1.{minor}", *rendered) == ""


def test_a_misspelt_field_would_be_noticed(tmp_path: Path) -> None:
    broken = manifests("local")
    next(m for m in broken if m["kind"] == "Deployment")["spec"]["replica"] = 2
    path = tmp_path / "broken.yaml"
    path.write_text(yaml.safe_dump_all(broken))
    assert "replica" in judges.kubernetes_validate("1.36", path)


def test_checkov_finds_what_is_left_out_on_purpose_and_nothing_else(rendered: list[Path]) -> None:
    failing = [failed for of_stack in judges.checkov(*rendered) for failed in of_stack]
    found = {failed["id"] for failed in failing if failed["resource"] != PLUGIN}
    assert found == set(SUPPRESSED)


def test_checkov_would_notice_a_container_that_may_become_root(tmp_path: Path) -> None:
    broken = manifests("local")
    pod = next(m for m in broken if m["kind"] == "Deployment")["spec"]["template"]["spec"]
    pod["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    path = tmp_path / "broken.yaml"
    path.write_text(yaml.safe_dump_all(broken))
    assert "CKV_K8S_20" in {failed["id"] for failed in judges.checkov(path)[0]}


def llama_commands() -> Iterator[tuple[str, list[str]]]:
    for stack in STACKS:
        for manifest in manifests(stack):
            if manifest["kind"] == "Deployment" and "llama.cpp" in str(manifest):
                container = manifest["spec"]["template"]["spec"]["containers"][0]
                yield f"{stack}-{manifest['metadata']['name']}", container["args"]


@proves("every rendered command line of the goldens is accepted")
@pytest.mark.parametrize(("case", "arguments"), list(llama_commands()))
def test_the_real_llama_server_accepts_every_argument(case: str, arguments: list[str]) -> None:
    """With a model file that is missing: flags are read first, so only the model can be complained about."""
    local = ["127.0.0.1" if word == "0.0.0.0" else word for word in arguments]
    done = judges.run(str(judges.llama_server()), *local, timeout_s=20)
    said = done.stdout + done.stderr
    assert "invalid argument" not in said, said
    assert "error while handling argument" not in said, said
    assert "failed to load model" in said or "failed to open" in said or "No such file" in said, said


def test_the_real_llama_server_refuses_a_flag_that_does_not_exist() -> None:
    done = judges.run(str(judges.llama_server()), "--ctx-sizes", "1", timeout_s=20)
    assert done.returncode != 0
    assert "invalid argument" in done.stdout + done.stderr
