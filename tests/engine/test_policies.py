"""The policy pack as the real engine runs it: levels, unknown values, secrets, failures, charts, settings."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tests.engine.conftest import POLICIES, ROOT
from tests.rules.samples import LLAMA_8B, deployment, guide, rule, vllm
from toolchain import engine

pytestmark = pytest.mark.engine

PROGRAMS = Path(__file__).parent / "programs"
LEVELS = ("advisory", "mandatory", "remediate", "disabled")
CHOSEN = {name: rule(name).policy_name for name in ("SZ-01", "WH-06", "WH-21")}
"""A rule that always stops, one that only advises, and one about the object itself: the guide's manifest breaks all."""
CANARY = "hf_CanaryThatNobodyMayEverSee0123456789"
SECTION = re.compile(r"^    \S+ modelberth@v(?P<version>\S+) .*\n(?P<lines>(?:^     .*\n)*)", re.MULTILINE)
LINE = re.compile(r"- \[(?P<level>\w+)\].*?  (?P<rule>[\w-]+)  \((?P<type>\S+): (?P<name>\S+)\)")


@dataclass
class Program:
    """A Pulumi program with a stack called dev; it needs no cluster."""

    root: Path

    def write(self, program: str, **objects: Any) -> None:
        """Take a program of this folder, and the objects that it registers."""
        options = f"  options:\n    toolchain: pip\n    virtualenv: {ROOT / '.venv'}\n"
        (self.root / "Pulumi.yaml").write_text(f"name: judged\nruntime:\n  name: python\n{options}", encoding="utf-8")
        (self.root / "Pulumi.dev.yaml").write_text("config: {}\n", encoding="utf-8")
        (self.root / "objects.json").write_text(json.dumps(objects), encoding="utf-8")
        shutil.copy(PROGRAMS / f"{program}.py", self.root / "__main__.py")

    def pack(self, version: str, main: Path = POLICIES / "__main__.py") -> Path:
        """The pack under another version, so that several can judge one run."""
        folder = self.root / f"pack-{version}"
        folder.mkdir()
        (folder / "PulumiPolicy.yaml").write_text(
            f"version: {version}\nruntime:\n  name: python\n  options:\n    virtualenv: {ROOT / '.venv'}\n",
            encoding="utf-8",
        )
        (folder / "__main__.py").symlink_to(main)
        return folder

    def run(self, *command: str, packs: Sequence[tuple[Path, dict[str, Any]]]) -> Run:
        """Run the engine under packs, each with its configuration."""
        words = [*command, "--stack", "dev"]
        for index, (folder, document) in enumerate(packs):
            config = self.root / f"config-{index}.json"
            config.write_text(json.dumps(document), encoding="utf-8")
            words += ["--policy-pack", str(folder), "--policy-pack-config", str(config)]
        done = engine.run(words, root=self.root, state=self.state, check=False, capture=True, timeout_s=240)
        return Run(done)

    @property
    def state(self) -> Path:
        return self.root / ".state"

    def resources(self) -> list[str]:
        """The types of what the state holds."""
        exported = engine.run(
            ["stack", "export", "--stack", "dev"], root=self.root, state=self.state, check=False, capture=True
        )
        held = json.loads(exported.stdout)["deployment"].get("resources") or []
        return [resource["type"] for resource in held]


@dataclass
class Run:
    """What the engine printed."""

    done: subprocess.CompletedProcess[str]

    @property
    def code(self) -> int:
        return self.done.returncode

    @property
    def text(self) -> str:
        return self.done.stdout + self.done.stderr

    def says(self, version: str | None = None) -> list[tuple[str, str, str]]:
        """(level, rule id, name of the resource) of every line of one pack, or of all."""
        sections = [each["lines"] for each in SECTION.finditer(self.text) if version in (None, each["version"])]
        found = [match for section in sections for match in LINE.finditer(section)]
        return sorted({(each["level"], each["rule"][:5].upper(), each["name"]) for each in found})

    def message(self, rule: str, name: str) -> str:
        """What follows the line of a rule about a resource."""
        after = re.split(rf"  {rule}\S*  \(\S+: {re.escape(name)}\)\n", self.text, maxsplit=1)[1]
        return after.split("        - [", 1)[0]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path)


def apps(manifest: dict[str, Any], name: str) -> dict[str, Any]:
    return {"apiVersion": "apps/v1", **manifest, "metadata": {"name": name}}


def serving(name: str, *args: Any, **more: Any) -> dict[str, Any]:
    words = args or ("--model", LLAMA_8B, "--max-model-len", "8192")
    return apps(deployment(vllm(*words, **more)), name)


@pytest.mark.parametrize("stops", [False, True])
def test_each_level_for_all_with_each_level_for_one_rule(program: Program, stops: bool) -> None:
    """All sixteen, in two runs: the engine takes several packs at once, and ends with 1 when any of them stops."""
    program.write("objects", guide=apps(guide(), "guide"))
    pairs = [pair for pair in product(LEVELS, LEVELS) if bool({"mandatory", "remediate"} & set(pair)) is stops]
    packs = [
        (program.pack(f"0.0.{index}"), {"all": for_all, **dict.fromkeys(CHOSEN.values(), for_one)})
        for index, (for_all, for_one) in enumerate(pairs)
    ]
    run = program.run("preview", packs=packs)
    for index, (_, for_one) in enumerate(pairs):
        level = {"remediate": "mandatory"}.get(for_one, for_one)
        expected = [] if level == "disabled" else [(level, rule, "guide") for rule in CHOSEN]
        assert [each for each in run.says(f"0.0.{index}") if each[1] in CHOSEN] == expected, pairs[index]
    assert (run.code != 0) is stops, run.text
    assert len(run.says()) > 0


def test_a_value_that_is_only_known_later_stops_the_preview_and_a_failing_rule_is_one_finding(program: Program) -> None:
    later = {"$later": "8192"}
    container = vllm("--model", LLAMA_8B)
    program.write(
        "objects",
        fits=serving("fits"),
        words=serving("words", "--model", LLAMA_8B, "--max-model-len", later),
        arguments=apps(deployment(container | {"args": {"$later": ["a"]}}), "arguments"),
        image=serving("image", image={"$later": "vllm/vllm-openai:v0.33.0"}),
        gpus=serving("gpus", gpus={"$later": "1"}),
        pod=apps(deployment() | {"spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"$later": {}}}}, "pod"),
    )
    broken = program.pack("0.0.9", PROGRAMS / "broken_pack.py")
    (broken / "__main__.py").unlink()
    shutil.copy(PROGRAMS / "broken_pack.py", broken / "__main__.py")
    (broken / "pack.txt").write_text(str(POLICIES / "__main__.py"), encoding="utf-8")
    run = program.run("preview", packs=[(POLICIES, {}), (broken, {"all": "advisory"})])
    assert run.code != 0
    stopped = {name for level, rule, name in run.says("0.1.0") if (level, rule) == ("mandatory", "SZ-21")}
    assert stopped == {"words", "arguments", "image", "gpus", "pod"}
    assert "cannot decide" in run.message("sz-21", "words")
    assert "can't run policy" not in run.text
    failed = [each for each in run.says("0.0.9") if each[0] == "mandatory"]
    assert ("mandatory", "SZ-03", "fits") in failed
    assert {rule for _, rule, _ in failed} == {"SZ-03"}
    assert "internal error in rule SZ-03 (KeyError)" in run.text
    assert "Traceback" not in run.text


def test_an_update_is_stopped_before_the_resource_is_made_and_no_secret_is_seen(program: Program) -> None:
    canary = {"$secret": CANARY}
    program.write(
        "objects",
        long=serving("long", "--model", LLAMA_8B, "--max-model-len", "131072", "--api-key", canary),
        model=serving(
            "model", "--model", canary, "--max-model-len", canary, env=[{"name": "HF_TOKEN", "value": canary}]
        ),
        image=serving("image", image={"$secret": f"vllm/vllm-openai:{CANARY}"}, gpus=canary),
    )
    preview = program.run("preview", packs=[(POLICIES, {})])
    stopped = {("mandatory", "SZ-01", "long"), ("mandatory", "SZ-21", "model"), ("mandatory", "SZ-21", "image")}
    assert stopped <= set(preview.says())
    update = program.run("up", "--yes", "--skip-preview", packs=[(POLICIES, {})])
    assert update.code != 0
    assert "[mandatory]" in update.text
    assert not any("Deployment" in each for each in program.resources())
    assert CANARY not in preview.text + update.text
    kept = [path for path in program.root.rglob("*") if path.is_file() and path.name != "objects.json"]
    assert [path.name for path in kept if CANARY in path.read_text(encoding="utf-8", errors="ignore")] == []


def test_children_of_groups_and_charts_are_judged_like_any_resource_and_a_release_is_told_to_hide_its_own(
    program: Program,
) -> None:
    program.write("children")
    shutil.copytree(PROGRAMS / "chart", program.root / "chart")
    text = (ROOT / "examples" / "guide" / "deployment.yaml").read_text(encoding="utf-8")
    (program.root / "chart" / "plain.yaml").write_text(text.replace("vllm-server", "grouped"), encoding="utf-8")
    run = program.run("preview", packs=[(POLICIES, {})])
    assert run.code != 0
    stopped = {name for level, rule, name in run.says() if (level, rule) == ("mandatory", "SZ-01")}
    assert stopped == {"chart3", "chart4:default/chart4", "group:default/grouped"}
    assert [each for each in run.says() if each[2] == "release"] == [("advisory", "SZ-21", "release")]
    assert "values.server.image: cannot decide anything" in run.message("sz-21", "release")


def test_wrong_settings_end_an_update_before_anything_is_made(program: Program) -> None:
    program.write("objects", fits=serving("fits"))
    document = {"settings": {"profil": "dev"}, "sz-01-modelfits": "mandatory"}
    run = program.run("up", "--yes", "--skip-preview", packs=[(POLICIES, document)])
    assert run.code != 0
    assert "the settings of the pack are wrong, nothing was judged" in run.text
    assert "settings.profil: unknown key; did you mean 'profile'?" in run.text
    assert "did you mean 'sz-01-model-fits'?" in run.text
    assert "Traceback" not in run.text
    assert program.resources() == []


def test_profile_thresholds_and_exemptions_come_from_the_configuration(program: Program) -> None:
    exempting = [
        {"rules": ["SZ-01"], "name": "*/guide", "reason": "known", "expires": "2099-01-01"},
        {"rules": ["WH-21"], "name": "*/guide", "reason": "long ago", "expires": "2020-01-01"},
        {"rules": ["SZ-04"], "urn": "*::guide", "reason": "in case", "expires": "2099-01-01"},
    ]
    program.write("objects", guide=apps(guide(), "guide"))
    exempt = (program.pack("0.0.1"), {"settings": {"exemptions": exempting}})
    strict = (program.pack("0.0.2"), {"settings": {"profile": "strict"}, "SZ-01": "advisory"})
    soft = (
        program.pack("0.0.3"),
        {"settings": {"profile": "dev"}, "all": "disabled", CHOSEN["WH-06"]: "advisory"},
    )
    run = program.run("preview", packs=[exempt, strict, soft])
    assert run.code != 0
    assert ("mandatory", "WH-21", "guide") in run.says("0.0.1")
    assert not [each for each in run.says("0.0.1") if each[1] == "SZ-01"]
    assert "the exemption from this rule ended on 2020-01-01 (long ago)" in run.text
    assert "SZ-01 does not apply to Deployment default/guide until 2099-01-01: known" in run.text
    assert "the exemption (SZ-04, urn *::guide) was not needed: in case" in run.text
    assert {("advisory", "SZ-01", "guide"), ("mandatory", "WH-06", "guide")} <= set(run.says("0.0.2"))
    assert run.says("0.0.3") == [("advisory", "WH-06", "guide")]


def test_a_program_that_serves_nothing_is_met_with_silence(program: Program) -> None:
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "plain"}, "data": {"a": "b"}}
    program.write("objects", plain=settings)
    run = program.run("up", "--yes", packs=[(POLICIES, {})])
    assert run.code == 0, run.text
    assert run.says() == []
    assert "✅ modelberth@v0.1.0" in run.text
