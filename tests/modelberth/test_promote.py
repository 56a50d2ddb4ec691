"""What one stack serves, promoted to the next: what moves, what stays, what is refused, and how files change."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelberth import stackfiles
from modelberth.edits import NotEditable, edited
from modelberth.findings import Refused
from modelberth.lock import settle
from modelberth.promote import Kept, Promotion, Side, promotion
from tests.modelberth.commands import ran
from tests.modelberth.samples import ROOT

LLAMA_8B, LLAMA_70B = "meta-llama/Llama-3.1-8B-Instruct", "meta-llama/Llama-3.3-70B-Instruct"
REVISION = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project's stacks, where only prod names an image."""
    shutil.copytree(ROOT / "stacks", tmp_path / "stacks")
    staging = tmp_path / "stacks" / "Pulumi.staging.yaml"
    lines = staging.read_text().splitlines(keepends=True)
    staging.write_text("".join(line for line in lines if "image_digest" not in line))
    return tmp_path


def good(*words: str, cwd: Path) -> str:
    done = ran(*words, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


def bad(*words: str, cwd: Path) -> str:
    done = ran(*words, cwd=cwd)
    assert done.returncode == 1, done.stdout
    return done.stderr


def stack(project: Path, name: str) -> stackfiles.StackFile:
    return stackfiles.read(project / "stacks" / f"Pulumi.{name}.yaml")


def change(project: Path, name: str, **fields: Any) -> None:
    """Write other fields of the service into a stack file, and lock what follows."""
    path = project / "stacks" / f"Pulumi.{name}.yaml"
    document = yaml.safe_load(path.read_text())
    document["config"]["modelberth:services"]["chat"].update(fields)
    path.write_text(yaml.safe_dump(document))
    found = stackfiles.read(path)
    assert found.lock_path
    stackfiles.write_lock(found.lock_path, settle(found.spec, found.locked, update=True).lock)


def promoted(project: Path, source: str, target: str, *kept: Kept) -> Promotion:
    comes, here = stack(project, source), stack(project, target)
    return promotion(*(Side(each.name, each.spec, each.locked) for each in (comes, here)), kept=kept)


def refusal(project: Path, source: str, target: str, *kept: Kept) -> str:
    with pytest.raises(Refused) as caught:
        promoted(project, source, target, *kept)
    return str(caught.value)


def test_environments_that_serve_the_same_have_nothing_to_promote(project: Path) -> None:
    assert good("promote", "dev", "staging", cwd=project) == "staging serves already what dev does\n"


def test_what_is_only_locked_moves_from_lock_to_lock_and_the_stack_file_stays(project: Path) -> None:
    change(project, "dev", engine_version="0.32.0")
    found = promoted(project, "dev", "staging")
    assert found.edits == ()
    assert [str(each) for each in found.changes] == ["chat: engine_version 0.33.0 -> 0.32.0"]


def test_a_stack_file_changes_only_where_it_states_something_else(project: Path) -> None:
    change(project, "dev", context=16384)
    found = promoted(project, "dev", "staging")
    assert [str(edit) for edit in found.edits] == ["services.chat.context: 8192 -> 16384"]
    assert found.settled.plans[0].decision.context == 16384


def test_machines_load_and_storage_stay_the_targets_own(project: Path) -> None:
    change(project, "dev", concurrency=4, typical_tokens=2000, context=16384)
    before = stack(project, "staging")
    after = promoted(project, "dev", "staging")
    (plan,) = after.settled.plans
    locked = before.locked["chat"]
    assert (plan.decision.machine_type, plan.decision.pool) == (locked.machine_type, locked.pool)
    assert (plan.decision.concurrency, plan.decision.storage.kind) == (locked.concurrency, locked.storage.kind)
    assert after.spec.services["chat"].typical_tokens == before.spec.services["chat"].typical_tokens


def test_the_locked_machine_type_stays_where_a_fresh_plan_would_take_another(project: Path) -> None:
    change(project, "dev", context=16384)
    lock = project / "stacks" / "staging.plan.yaml"
    lock.write_text(lock.read_text().replace("g6e.xlarge", "g6e.2xlarge"))
    assert promoted(project, "dev", "staging").settled.plans[0].decision.machine_type == "g6e.2xlarge"


def test_the_very_files_that_were_tested_are_the_ones_that_move(project: Path) -> None:
    change(project, "dev", model={"id": LLAMA_8B, "revision": REVISION})
    change(project, "staging", model=LLAMA_8B)
    found = promoted(project, "dev", "staging")
    assert found.settled.lock["chat"].source == stack(project, "dev").locked["chat"].source
    assert found.settled.lock["chat"].source.revision == REVISION
    assert found.edits == ()  # it states no revision


def test_another_model_is_named_before_anything_is_written(project: Path) -> None:
    said = good("promote", "staging", "prod", cwd=project)
    assert f"  services.chat.model: {LLAMA_70B} -> " in said
    assert said.endswith("nothing is written; --write does\n")
    assert (project / "stacks" / "prod.plan.yaml").read_text() == (ROOT / "stacks" / "prod.plan.yaml").read_text()


def test_a_model_may_be_kept_while_the_rest_moves(project: Path) -> None:
    change(project, "staging", context=16384)
    found = promoted(project, "staging", "prod", Kept.MODEL)
    assert [str(each) for each in found.changes] == ["chat: context 8192 -> 16384"]
    assert promoted(project, "staging", "prod", Kept.MODEL, Kept.CONTEXT).changes == ()


def test_what_does_not_fit_there_is_refused_with_the_arithmetic(project: Path) -> None:
    assert "fits nothing that is allowed" in bad("promote", "prod", "local", cwd=project)


def test_an_image_of_another_version_is_not_kept(project: Path) -> None:
    change(project, "staging", engine_version="0.32.0")
    told = refusal(project, "staging", "prod", Kept.MODEL)
    assert "services.chat.image_digest: names an image, staging names none, and vllm 0.32.0 comes" in told
    promoted(project, "staging", "prod", Kept.MODEL, Kept.ENGINE)


def test_a_digest_moves_with_the_version_that_it_is_of(project: Path) -> None:
    digest = f"sha256:{'1' * 64}"
    change(project, "staging", engine_version="0.32.0", image_digest=digest)
    found = promoted(project, "staging", "prod", Kept.MODEL)
    assert {edit.field: edit.value for edit in found.edits} == {"image_digest": digest}


def test_what_only_the_target_states_is_refused(project: Path) -> None:
    change(project, "staging", tool_call_parser="llama3_json")
    told = refusal(project, "dev", "staging")
    assert "services.chat.tool_call_parser: is stated in staging and not in dev" in told
    assert "way out: take it out of staging, or --keep model" in told


def test_a_revision_of_another_repository_is_refused(project: Path) -> None:
    change(project, "prod", quantization="bf16", model={"id": LLAMA_70B, "revision": REVISION})
    change(project, "dev", model=LLAMA_70B, quantization="fp8")
    told = refusal(project, "dev", "prod")
    assert f"services.chat.model.revision: belongs to {LLAMA_70B}, RedHatAI/" in told


def test_services_that_are_not_there_are_named(project: Path) -> None:
    assert "services.nope: dev has no such service" in bad("promote", "dev", "prod", "--services", "nope", cwd=project)
    assert "services.draft: dev has no such service" in bad(
        "promote", "local", "dev", "--services", "draft", cwd=project
    )


def test_what_was_never_locked_is_not_promoted(project: Path) -> None:
    (project / "stacks" / "dev.plan.yaml").unlink()
    assert "services.chat: nothing is locked in dev" in bad("promote", "dev", "staging", cwd=project)


def test_writing_changes_one_value_and_leaves_every_comment(project: Path) -> None:
    change(project, "dev", context=16384)
    path = project / "stacks" / "Pulumi.staging.yaml"
    before = path.read_text()
    said = good("promote", "dev", "staging", "--write", cwd=project)
    assert said.count("written: ") == 2
    added = [line for line in path.read_text().splitlines() if line not in before.splitlines()]
    assert added == ["      context: 16384"]
    assert "# Staging: " in path.read_text()
    assert good("promote", "dev", "staging", cwd=project) == "staging serves already what dev does\n"
    good("plan", "staging", cwd=project)


EDITS: tuple[tuple[str, list[str], object, str], ...] = (
    ("a: 1 # one\nb: 2\n", ["a"], 3, "a: 3 # one\nb: 2\n"),
    ("a:\n  b: 1 # one\n# end\n", ["a", "c"], "x", "a:\n  b: 1 # one\n  c: x\n# end\n"),
    ("a: {b: 1}\n", ["a", "c"], [1, 2], "a: {b: 1, c: [1, 2]}\n"),
    ("a: {}\n", ["a", "b", "c"], 1, "a: {b: {c: 1}}\n"),
    ("a:\n- 1\n- 2 # two\n# end\nb: 1\n", ["a"], [3], "a: [3] # two\n# end\nb: 1\n"),
    ("a:\n  id: x\n  revision: y\n", ["a"], {"revision": "z"}, "a:\n  id: x\n  revision: z\n"),
    ("a: x\n", ["a"], {"id": "y"}, "a: {id: y}\n"),
    ('a: "0000" # digits\n', ["a"], "0001", "a: '0001' # digits\n"),
    ("a:\n  b: 1", ["a", "c"], 2, "a:\n  b: 1\n  c: 2"),
)


@pytest.mark.parametrize(("text", "path", "value", "wanted"), EDITS)
def test_one_value_of_a_file_changes_and_nothing_else(text: str, path: list[str], value: object, wanted: str) -> None:
    assert edited(text, path, value) == wanted


@pytest.mark.parametrize("text", ["a: 1\n", "- 1\n", ""])
def test_a_place_inside_a_single_value_cannot_be_edited(text: str) -> None:
    with pytest.raises(NotEditable):
        edited(text, ["a", "b"], 1)


def test_a_file_that_cannot_say_it_is_left_alone(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that an anchor shares with another place would change both."""
    path = project / "stacks" / "Pulumi.staging.yaml"
    shared = path.read_text().replace("replicas: 2", "replicas: &n 2\n      context: &m 8192\n      typical_tokens: *m")
    path.write_text(shared)
    found = stackfiles.read(path)
    assert found.lock_path
    stackfiles.write_lock(found.lock_path, settle(found.spec, found.locked, update=True).lock)
    before = (path.read_text(), found.lock_path.read_text())
    change(project, "dev", context=16384)
    bad("promote", "dev", "staging", "--write", cwd=project)
    assert (path.read_text(), found.lock_path.read_text()) == before
