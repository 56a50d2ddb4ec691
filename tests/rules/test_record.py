"""Our own sizing record: what runs is what was decided, what was decided is what is locked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelberth.decision import SIZING_ANNOTATION, Decision
from modelberth.rules.base import Settings
from modelberth.stackfiles import read_lock
from tests.policies.servicer import Refused, analyze
from tests.rules.samples import ROOT, codes, judged, resource, rule

LOCK = read_lock(ROOT / "stacks" / "local.plan.yaml")


def ours(service: str) -> dict[str, Any]:
    """The Deployment that the components render for a service of the local stack."""
    registrations = yaml.safe_load_all((ROOT / "tests" / "golden" / "local" / "resources.yaml").read_text())
    return next(each["inputs"] for each in registrations if each["name"] == f"{service}-server")


def findings(manifest: dict[str, Any], locked: dict[str, Decision] | None = None) -> list[str]:
    settings = Settings(locks=locked or {})
    return [str(finding) for finding in rule("SZ-20").about(resource(manifest), settings)]


@pytest.mark.parametrize("service", ["chat", "draft"])
def test_what_the_components_render_from_the_lock_passes(service: str) -> None:
    assert findings(ours(service), LOCK) == []


def test_a_record_that_was_taken_away_is_noticed() -> None:
    manifest = ours("chat")
    del manifest["metadata"]["annotations"]
    assert any("the sizing record is gone" in text for text in findings(manifest, LOCK))


def test_a_container_of_someone_else_has_no_record_to_compare() -> None:
    manifest = ours("chat")
    del manifest["metadata"]["annotations"]
    del manifest["metadata"]["labels"]
    assert findings(manifest, LOCK) == []


@pytest.mark.parametrize(
    ("service", "flag", "value", "expected"),
    [
        ("chat", "--max-model-len", "4096", "the record says context_tokens 8192, the container is started with 4096"),
        ("chat", "--max-num-seqs", "64", "the record says concurrency 8, the container is started with 64"),
        ("draft", "--parallel", "2", "the record says concurrency 4, the container is started with 2"),
        ("draft", "--ctx-size", "8192", "the record says context_tokens 8192, the container is started with 2048"),
    ],
)
def test_an_argument_edited_by_hand_is_noticed(service: str, flag: str, value: str, expected: str) -> None:
    manifest = ours(service)
    arguments = manifest["spec"]["template"]["spec"]["containers"][0]["args"]
    arguments[arguments.index(flag) + 1] = value
    assert any(expected in text for text in findings(manifest, LOCK))


def test_a_plan_that_is_not_the_locked_one_is_noticed() -> None:
    other = {"chat": LOCK["chat"].model_copy(update={"machine_type": "g2-standard-12"})}
    (text,) = findings(ours("chat"), other)
    assert "the plan of chat is not the one that is locked" in text
    assert "modelberth plan --update" in text


@pytest.mark.parametrize("record", ["{", "[]", "null", '"text"', "[" * 5000])
def test_a_record_that_is_not_legible_is_a_finding(record: str) -> None:
    manifest = ours("chat")
    manifest["metadata"]["annotations"][SIZING_ANNOTATION] = record
    assert any("not legible" in text for text in findings(manifest, LOCK))


def test_the_pack_reads_the_lock_of_the_stack_it_judges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from policies import pack

    (tmp_path / "stacks").mkdir()
    (tmp_path / "Pulumi.yaml").write_text("name: modelberth\n")
    text = (ROOT / "stacks" / "local.plan.yaml").read_text().replace("context: 8192", "context: 4096", 1)
    (tmp_path / "stacks" / "local.plan.yaml").write_text(text)
    monkeypatch.setattr(pack, "PROJECT", tmp_path)
    monkeypatch.setenv("PULUMI_STACK", "local")
    monkeypatch.setenv("PULUMI_PROJECT", "modelberth")
    found = analyze(ours("chat"))
    assert any("locked beside the stack" in text for _, _, text in found)


def test_a_lock_that_is_not_legible_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from policies import pack

    (tmp_path / "stacks").mkdir()
    (tmp_path / "Pulumi.yaml").write_text("name: modelberth\n")
    (tmp_path / "stacks" / "local.plan.yaml").write_text("services: [")
    monkeypatch.setattr(pack, "PROJECT", tmp_path)
    monkeypatch.setenv("PULUMI_STACK", "local")
    monkeypatch.setenv("PULUMI_PROJECT", "modelberth")
    with pytest.raises(Refused, match=r"local\.plan\.yaml, line 2"):
        analyze(ours("chat"))


def test_the_lock_of_another_project_is_not_compared_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from policies import pack

    (tmp_path / "Pulumi.yaml").write_text("name: modelberth\n")
    monkeypatch.setattr(pack, "PROJECT", tmp_path)
    assert pack._locks("local", "another") == {}


def test_the_record_holds_no_price_date_or_source() -> None:
    record = json.loads(ours("chat")["metadata"]["annotations"][SIZING_ANNOTATION])
    assert not {"usd_per_hour", "price_as_of", "source"} & set(record)


def test_our_own_workloads_pass_on_nodes_selected_by_a_label_of_ones_own_and_with_weights_at_any_path() -> None:
    text = (ROOT / "tests" / "golden" / "secrets" / "resources.yaml").read_text()
    servers = [each["inputs"] for each in yaml.safe_load_all(text) if each["name"].endswith("-server")]
    assert len(servers) == 3
    for manifest in servers:
        assert judged(manifest) == []


def test_the_record_does_not_speak_for_a_model_that_the_arguments_name() -> None:
    manifest = ours("chat")
    container = manifest["spec"]["template"]["spec"]["containers"][0]
    container["args"][0] = "meta-llama/Llama-3.1-70B-Instruct"
    assert "SZ-01" in codes(manifest)
