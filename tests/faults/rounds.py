"""One round: something goes wrong at one call of a run, then the way back, then everything that must hold.

A scenario is a run of the engine on a prepared stack. It is run once undisturbed; each of its calls is then met by a
fault in a round of its own, in a copy of the prepared folder.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from modelberth import recovery
from tests.providers import faults, homes
from tests.providers.cloud import Cloud, Fault
from tests.providers.conftest import Project
from toolchain.kube import Kube
from toolchain.recover import readable, recover

CANARY = "canary-4f1e0d-of-a-token"
"""A secret of the provider's; it must stay one."""
CUT_OFF = tuple(sorted(faults.CRASHES))


@dataclass(frozen=True)
class Call:
    """A call of the undisturbed run."""

    method: str
    type: str
    urn: str

    def __str__(self) -> str:
        return f"{self.method} {self.type} {self.urn.rpartition('::')[2]}"


@dataclass
class Scenario:
    """What is run, on what."""

    name: str
    start: Callable[[Path], Project]
    """Makes the stack as it is before the run, in an empty folder."""
    change: dict[str, Any] = field(default_factory=dict)
    """Settings of the program that change with the run."""
    command: str = "up"

    def prepared(self, root: Path) -> Prepared:
        """The stack before the run, and the run once undisturbed."""
        (base := root / "base").mkdir()
        project = self.start(base)
        since = len(project.cloud.calls())
        prepared = Prepared(self, project, root, since)
        shutil.copytree(base, root / "undisturbed", symlinks=True)
        undisturbed = moved(project, root / "undisturbed")
        prepared.run(undisturbed)
        calls = undisturbed.cloud.calls()[since:]
        prepared.calls = tuple(Call(each["method"], each["type"], each["urn"]) for each in calls)
        prepared.end = shape(undisturbed)
        return prepared


@dataclass
class Prepared:
    """A scenario that can be run again and again."""

    scenario: Scenario
    project: Project
    root: Path
    since: int
    calls: tuple[Call, ...] = ()
    end: Counter[tuple[str, str]] = field(default_factory=Counter)

    def run(self, project: Project, refused: bool = False) -> str:
        """The run itself."""
        project.settings |= self.scenario.change
        if self.scenario.command == "destroy":
            return project.destroy(refused=refused)
        return project.up(refused=refused)

    def copy(self, name: str) -> Project:
        """The stack before the run, in a folder of its own."""
        root = self.root / name
        shutil.copytree(self.project.root, root, symlinks=True)
        return moved(self.project, root)


def moved(project: Project, root: Path) -> Project:
    """The same project in a copy of its folder."""
    other = object.__new__(type(project))
    other.__dict__ |= {**project.__dict__, "root": root, "settings": dict(project.settings)}
    other.cloud = Cloud(root / "cloud")
    other.moved()
    return other


def held(project: Project) -> list[dict[str, Any]]:
    """What the state holds of clouds and of the cluster."""
    exported = json.loads(project.pulumi("stack", "export").stdout)["deployment"].get("resources") or []
    return [each for each in exported if each.get("custom") and not each["type"].startswith("pulumi:")]


def shape(project: Project) -> Counter[tuple[str, str]]:
    """What the state holds: types and logical names."""
    return Counter((each["type"], each["urn"].rpartition("::")[2]) for each in held(project))


def listed(project: Project, resources: list[dict[str, Any]]) -> set[str]:
    """What the cluster holds of the kinds and in the namespaces that the state knows, made by Pulumi."""
    if project.kubeconfig is None:
        return set()
    kube = Kube(project.kubeconfig)
    found: set[str] = set()
    manifests = [each["outputs"] for each in resources if each["type"].startswith("kubernetes:")]
    for path in {kube.path(each).rpartition("/")[0] for each in manifests}:
        ours = (each["metadata"] for each in kube.list(path) if _managed(each))
        found |= {f"{path}/{each['name']}" for each in ours if "deletionTimestamp" not in each}
    return found


def _managed(manifest: dict[str, Any]) -> bool:
    managers = manifest["metadata"].get("managedFields", [])
    return any(str(each.get("manager")).startswith("pulumi-kubernetes") for each in managers)


def cut_off(prepared: Prepared, call: Call, kind: str) -> None:
    """The provider or the engine dies at a call; then docs/recovery.md; then the run again."""
    with Round(prepared, f"{kind}-{prepared.calls.index(call)}") as stack:
        stack.meets(call, kind)
        stack.recover()
        stack.ends()


def half_done(prepared: Prepared, call: Call, kind: str) -> None:
    """The cloud changes and answers an error; then the run again."""
    with Round(prepared, f"{kind}-{prepared.calls.index(call)}") as stack:
        stack.is_told(call, kind)
        stack.ends()


def refused(prepared: Prepared, call: Call, kinds: tuple[str, ...]) -> None:
    """The cloud refuses one call in one way after the other, and nothing changes; then the run again."""
    with Round(prepared, f"refused-{prepared.calls.index(call)}") as stack:
        for kind in kinds:
            stack.is_told(call, kind)
        stack.ends()


class Round:
    """A copy of a prepared stack, what it printed, and what must hold of it."""

    def __init__(self, prepared: Prepared, name: str) -> None:
        self._prepared = prepared
        self._project = prepared.copy(name)
        self._told: list[str] = []
        self._faults = 0
        self._deleted_by_hand: list[str] = []
        self._held: dict[str, tuple[str, str]] = {}
        self._remade: set[str] = set()

    def __enter__(self) -> Self:
        self._pulumi, self._project.pulumi = self._project.pulumi, self._heard  # type: ignore[method-assign]
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._project.left()
        if kind is None:
            shutil.rmtree(self._project.root)

    def _heard(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        done = self._pulumi(*arguments)
        self._told.append(done.stdout + done.stderr)
        return done

    def meets(self, call: Call, kind: str) -> str:
        """A run in which this goes wrong; what it printed."""
        self._faults += 1
        before = len(self._project.cloud.calls())
        self._project.plan(Fault(kind, method=call.method, type=call.type, urn=call.urn))
        text = self._prepared.run(self._project, refused=True)
        outcomes = [each["outcome"] for each in self._project.cloud.calls()[before:]]
        assert outcomes.count(kind) == 1, f"the fault met {outcomes.count(kind)} calls: {outcomes}"
        return text

    def is_told(self, call: Call, kind: str) -> None:
        """The same; the run printed the cloud's message and the resource, and left no doubt."""
        text = self.meets(call, kind)
        assert faults.MESSAGES[call.type.partition(":")[0]][kind] in text, text
        assert call.urn.rpartition("::")[2] in text
        assert self._project.pending() == []

    def recover(self) -> None:
        """The documented recovery, with the deletions that it asks for."""
        readable(self._project.root / "state")
        clouds = [each for each in held(self._project) if not each["type"].startswith("kubernetes:")]
        self._held = {each["id"]: (each["type"], each["urn"]) for each in clouds}
        found = recover(self._project.pulumi, self._ran, self._project.root / "recovery")
        assert found.stopping == (), "\n".join(recovery.told(found))
        self._remade = {each.id for each in found.takeovers if each.remade}
        for command in found.deletions:
            done = self._ran(shlex.split(command))
            assert done.returncode == 0, done.stderr
            self._deleted_by_hand.append(command)

    def _ran(self, words: list[str]) -> subprocess.CompletedProcess[str]:
        root = self._project.root
        variables = homes.environment(
            root, root / "state", self._project.cloud.folder, self._project.kubeconfig, counted=self._project.counted
        )
        done = subprocess.run(words, check=False, capture_output=True, text=True, env=variables, cwd=root)
        self._told.append(done.stdout + done.stderr)
        return done

    def ends(self) -> None:
        """The run again, without a fault: it ends as the undisturbed one did, and all that must hold does."""
        project, prepared = self._project, self._prepared
        project.plan()
        prepared.run(project)
        assert project.pending() == []
        there, known = project.cloud.objects(), held(project)
        in_cloud = [each["id"] for each in known if not each["type"].startswith("kubernetes:")]
        assert sorted(each.id for each in there) == sorted(in_cloud), "orphans or ghosts"
        self._the_cluster_holds(known)
        assert shape(project) == prepared.end
        assert not [each.id for each in there if each.failed]
        self._nothing_is_left_to_do()
        self._nothing_was_destroyed()
        self._calls_are_few()
        self._the_secret_is_one()

    def _the_cluster_holds(self, known: list[dict[str, Any]]) -> None:
        """The cluster holds what the state holds, and nothing beside it; other rounds have namespaces of their own."""
        if self._project.kubeconfig is None:
            return
        kube = Kube(self._project.kubeconfig)
        there = listed(self._project, known)
        paths = {kube.path(each["outputs"]) for each in known if each["type"].startswith("kubernetes:")}
        namespaced = {each for each in there if re.search("/namespaces/[^/]+/", each)}
        assert paths <= there, paths - there
        assert namespaced <= paths, namespaced - paths

    def _nothing_is_left_to_do(self) -> None:
        since = len(self._project.cloud.calls())
        if self._prepared.scenario.command == "up":
            self._project.up("--expect-no-changes")
        else:
            self._prepared.run(self._project)
        assert self._project.cloud.calls()[since:] == []

    def _nothing_was_destroyed(self) -> None:
        """Only what the undisturbed run deletes, or the recovery named, was deleted; the rest is what it was."""
        expected = {(each.type, each.urn) for each in self._prepared.calls if each.method == "delete"}
        calls = [each for each in self._project.cloud.calls()[self._prepared.since :] if each["method"] == "delete"]
        for each in calls:
            if each["urn"] == "":
                assert any(each["id"].rpartition("/")[2] in command for command in self._deleted_by_hand), each
            elif each["id"] not in self._remade:
                assert (each["type"], each["urn"]) in expected, each
        gone = self._held.keys() - {each.id for each in self._project.cloud.objects()} - {each["id"] for each in calls}
        # A second deletion that was under way when the engine was killed has not told of itself.
        assert {self._held[each] for each in gone} <= expected, gone

    def _calls_are_few(self) -> None:
        calls = self._project.cloud.calls()[self._prepared.since :]
        changing = [each for each in calls if each["method"] != "read"]
        most = 2 * len(self._prepared.calls) + self._faults
        assert len(changing) <= most, Counter(f"{each['method']} {each['urn']}" for each in changing)
        assert len(calls) - len(changing) <= 3 * (len(self._prepared.calls) + len(self._prepared.end) + 1)

    def _the_secret_is_one(self) -> None:
        assert not [text for text in self._told if CANARY in text]
        root = self._project.root
        files = [*_files(root / "state"), *_files(root / "recovery")]
        assert files
        assert not [each for each in files if CANARY.encode() in each.read_bytes()]


def _files(folder: Path) -> list[Path]:
    return [each for each in folder.rglob("*") if each.is_file()]
