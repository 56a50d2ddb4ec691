"""A stack file on a base: what is merged, what is refused; and the environments of this project say nothing twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from modelberth import layers, stackfiles
from modelberth.errors import ModelberthError
from modelberth.findings import Refused
from tests.modelberth.samples import ROOT

STACKS = ROOT / "stacks"
ENVIRONMENTS = ("local", "dev", "staging", "prod")
BASE = {
    "target": {"namespace": "models"},
    "defaults": {"owner": "platform", "labels": {"team": "search"}},
    "services": {"chat": {"context": 8192, "concurrency": 8, "accelerators": ["nvidia-l4"]}},
}
OWN = {
    "base": "base.yaml",
    "target": {"kind": "existing"},
    "pools": {"l4": {"accelerators": ["nvidia-l4"], "machine_types": ["g2-standard-8"], "max_nodes": 1}},
    "services": {"chat": {"model": "Qwen/Qwen2.5-7B-Instruct"}},
}


def write(folder: Path, own: Any, base: Any = BASE) -> Path:
    (folder / "base.yaml").write_text(yaml.safe_dump({"config": {f"modelberth:{key}": base[key] for key in base}}))
    path = folder / "Pulumi.dev.yaml"
    path.write_text(yaml.safe_dump({"config": {f"modelberth:{key}": own[key] for key in own}}))
    return path


def refused(folder: Path, own: Any, base: Any = BASE) -> str:
    with pytest.raises(ModelberthError) as caught:
        stackfiles.read(write(folder, own, base))
    return str(caught.value)


def test_mappings_are_merged_at_every_depth_and_the_stack_has_the_last_word(tmp_path: Path) -> None:
    own = {**OWN, "services": {"chat": {**OWN["services"]["chat"], "context": 4096, "accelerators": ["cpu"]}}}
    spec = stackfiles.read(write(tmp_path, own)).spec
    chat = spec.services["chat"]
    assert (chat.context, chat.concurrency, chat.accelerators) == (4096, 8, ("cpu",))
    assert (spec.target.namespace, spec.target.kind, spec.defaults.owner) == ("models", "existing", "platform")


def test_a_stack_without_a_base_is_read_as_it_stands(tmp_path: Path) -> None:
    alone = {key: value for key, value in OWN.items() if key != "base"}
    assert "services.chat.context: is required" in refused(tmp_path, alone)


def test_an_unknown_key_is_told_with_the_file_that_has_it(tmp_path: Path) -> None:
    base = {**BASE, "defaults": {"ownr": "platform"}}
    assert "base.yaml: defaults.ownr: unknown key; did you mean 'owner'?" in refused(tmp_path, OWN, base)
    own = {**OWN, "defaults": {"ownr": "platform"}}
    assert "\n  defaults.ownr: unknown key" in refused(tmp_path, own)


@pytest.mark.parametrize("value", [None, "none", ["team"]])
def test_a_mapping_and_something_else_cannot_be_merged(tmp_path: Path, value: Any) -> None:
    told = refused(tmp_path, {**OWN, "defaults": {"labels": value}})
    assert "defaults.labels: is " in told
    assert " here and a mapping in base.yaml: they cannot be merged" in told


@pytest.mark.parametrize("name", ["../base.yaml", "/etc/base.yaml", "", 7, ["base.yaml"], "a\0b"])
def test_a_base_is_a_file_in_the_same_folder(tmp_path: Path, name: Any) -> None:
    assert "base: must be the name of a file beside this one" in refused(tmp_path, {**OWN, "base": name})


def test_a_base_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "other.yaml: No such file" in refused(tmp_path, {**OWN, "base": "other.yaml"})


def test_a_base_has_no_base_of_its_own(tmp_path: Path) -> None:
    assert "base.yaml names a base of its own" in refused(tmp_path, OWN, {**BASE, "base": "more.yaml"})


def test_merging_changes_neither_file() -> None:
    before = yaml.safe_dump([BASE, OWN])
    layers.merged(BASE, OWN, "base.yaml")
    assert yaml.safe_dump([BASE, OWN]) == before


def test_every_problem_of_both_files_is_told_at_once() -> None:
    with pytest.raises(Refused) as caught:
        layers.merged({"target": {}, "defaults": {}}, {"target": 1, "defaults": []}, "base.yaml")
    assert [finding.path for finding in caught.value.findings] == ["target", "defaults"]


def said(document: Any, path: str = "") -> dict[str, Any]:
    """Every single value and list of a document, by its place."""
    if not isinstance(document, dict):
        return {path: document}
    return {place: value for key, inner in document.items() for place, value in said(inner, f"{path}.{key}").items()}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_environments_differ_only_where_they_must(name: str) -> None:
    base = said(yaml.safe_load((STACKS / "base.yaml").read_text()))
    own = said(yaml.safe_load((STACKS / f"Pulumi.{name}.yaml").read_text()))
    assert own[".config.modelberth:base"] == "base.yaml"
    assert {place for place in own if base.get(place) == own[place]} == set()
    assert stackfiles.read(STACKS / f"Pulumi.{name}.yaml").spec.defaults.owner == "platform"
