"""Roll every service of a stack to the next supported version of its engine, and watch that pods stay ready meanwhile.

`python -m toolchain.roll STACK`, after `make up STACK=...`. It works on a copy of the stack file and of its plan lock,
so that nothing that git tracks changes; the next `make up` goes back to what the stack file says.
"""

from __future__ import annotations

import shutil
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import yaml

from modelberth import stackfiles
from modelberth.catalog import catalog
from modelberth.lock import settle
from modelberth.plan import Plan
from modelberth.upgrade import consequences
from modelberth.versions import key
from toolchain import cluster, engine, local
from toolchain.kube import Kube, KubeError

COPY = local.ROOT / ".modelberth" / "roll"
SERVERS = "app.kubernetes.io/part-of=modelberth"
POLL_S = 0.2


@dataclass
class Watched:
    """Ready replicas of every service, looked at several times a second until told to stop."""

    kube: Kube
    namespace: str
    fewest: dict[str, int] = field(default_factory=dict[str, int])
    looks: int = 0
    missed: int = 0
    """Looks that the API server did not answer."""
    _done: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._look()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(POLL_S):
            self._look()

    def _look(self) -> None:
        try:
            deployments = self.kube.list(f"/apis/apps/v1/namespaces/{self.namespace}/deployments", labels=SERVERS)
        except KubeError:
            self.missed += 1
            return
        self.looks += 1
        for deployment in deployments:
            service = deployment["metadata"]["labels"]["app.kubernetes.io/instance"]
            ready = deployment.get("status", {}).get("readyReplicas", 0)
            self.fewest[service] = min(ready, self.fewest.get(service, ready))


def following(plan: Plan) -> str | None:
    """The next supported version of a service's engine, None when it runs the newest."""
    facts = catalog().engine(plan.decision.engine)
    newer = [each for each in facts.versions if key(each) > key(plan.decision.engine_version)]
    return min(newer, key=key, default=None)


def raised(document: Mapping[str, Any], versions: Mapping[str, str]) -> dict[str, Any]:
    """A stack file in which each of these services is pinned to this version."""
    config = dict(document["config"])
    services = config["modelberth:services"]
    config["modelberth:services"] = {
        name: {**service, "engine_version": versions[name]} if name in versions else service
        for name, service in services.items()
    }
    return {**document, "config": config}


def roll(stack: str) -> int:
    """Raise, show what changes, apply, and print the fewest ready replicas of each service.

    1 when one had fewer than its rollout promises. Groups of nodes roll by themselves and are not watched.
    """
    found = stackfiles.read(stackfiles.find(stack, local.ROOT))
    before = settle(found.spec, found.locked, stack_name=stack)
    versions = {plan.service: version for plan in before.plans if (version := following(plan))}
    if not versions:
        print("every service runs the newest supported version of its engine")
        return 0
    project = _project(stack, raised(yaml.safe_load(found.path.read_text()), versions))
    after = stackfiles.read(project / "stacks" / f"Pulumi.{stack}.yaml")
    settled = settle(after.spec, before.lock, stack_name=stack, update=True)
    stackfiles.write_lock(stackfiles.lock_path_of(stack, project / "stacks"), settled.lock)
    for line in consequences(after.spec, before.lock, settled.plans):
        print(f"  {line}", flush=True)
    running = cluster.up(local.CLUSTER, local.NODES)
    with Watched(Kube(running.kubeconfig), found.spec.target.namespace) as watched:
        arguments = ["up", "--stack", stack, "--yes", "--suppress-outputs", "--suppress-progress"]
        arguments += ["--policy-pack", str(project / local.POLICIES.name)]
        done = engine.run(arguments, root=project, state=local.STATE, check=False)
    if done.returncode:
        return done.returncode
    unanswered = f", {watched.missed} more without an answer" if watched.missed else ""
    print(f"\nready replicas during the roll, looked at {watched.looks} times{unanswered}")
    lines = list(_told(before.plans, versions, watched.fewest))
    for line, _ in lines:
        print(f"  {line}")
    return 0 if all(kept for _, kept in lines) else 1


def _told(
    plans: tuple[Plan, ...], versions: Mapping[str, str], fewest: Mapping[str, int]
) -> Iterator[tuple[str, bool]]:
    """One line a service, and whether it kept what its rollout promises."""
    width = max(len(plan.service) for plan in plans)
    for plan in (each for each in plans if each.launch.group is None):
        old, new = plan.decision.engine_version, versions.get(plan.service)
        least, replicas = fewest.get(plan.service, 0), plan.spec.replicas
        promised = replicas - plan.rollout.max_unavailable if new else replicas
        step = f"{plan.decision.engine} {old} -> {new}" if new else f"{plan.decision.engine} {old}, the newest"
        said = f"never fewer than {least} of {replicas}" + ("" if least >= promised else f", promised {promised}")
        yield f"{plan.service.ljust(width)}  {step.ljust(36)}  {said}", least >= promised


def _project(stack: str, document: Mapping[str, Any]) -> Path:
    """A copy of the project that differs in the stack file only. The state stays the same, and so does the cluster."""
    shutil.rmtree(COPY, ignore_errors=True)
    (COPY / "stacks").mkdir(parents=True)
    for name in ("Pulumi.yaml", "__main__.py"):
        shutil.copy(local.ROOT / name, COPY / name)
    shutil.copytree(local.POLICIES, COPY / local.POLICIES.name)  # the pack compares with the lock beside it
    for name in (".venv", "modelberth"):
        (COPY / name).symlink_to(local.ROOT / name)
    config = document["config"]
    target = {**config["modelberth:target"], "kubeconfig": str(local.CLUSTER / "kubeconfig")}
    text = yaml.safe_dump({**document, "config": {**config, "modelberth:target": target}}, sort_keys=False)
    (COPY / "stacks" / f"Pulumi.{stack}.yaml").write_text(text, encoding="utf-8")
    return COPY


def main(arguments: list[str]) -> int:
    """`python -m toolchain.roll STACK`."""
    if len(arguments) != 1:
        print("usage: python -m toolchain.roll STACK", file=sys.stderr)
        return 2
    return local.told(lambda: roll(arguments[0]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
