"""Rendered pods on nodes of the embedded cluster, and what its scheduler does with them.

A trial is one case on one node: labels and taints are those of the machine type that the planner chose, what the node
offers is that machine's or a smaller one's. The node comes with the system pods that the planner leaves room for. A
label and a taint of its own keep the trials apart, so that many run at once; nothing runs the pods.
"""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from modelberth.clouds import NodeProfile, node_profile
from modelberth.host import SYSTEM_CPU_MILLICORES, SYSTEM_MEMORY_MIB
from tests.placement.cases import SHARED, Case, cases, lacking, smaller
from toolchain.cluster.objects import simulated_node
from toolchain.kube import Kube, Manifest

ROOT = Path(__file__).resolve().parents[2]
TRIAL = "modelberth.dev/trial"
CLAIM = "weights"
ZONES = {"gcp": "us-central1-a", "aws": "us-east-1a"}
WITHIN_S = 120.0
AT_ONCE = 150
"""Nodes there are at once."""
NOT_READY = {"key": "node.kubernetes.io/not-ready", "operator": "Exists"}
UNREACHABLE = {"key": "node.kubernetes.io/unreachable", "operator": "Exists"}
"""No kubelet says that these nodes are alive; it is not what is asked here."""
SHORT = re.compile(r"Insufficient ([\w./-]+)")


@dataclass(frozen=True)
class Trial:
    """One case on one node. ``below`` is what the node offers, empty where that is its own machine type; ``planner``
    what the planner says there is too little of.

    ``turn`` is the namespace: an affinity sees the pods of its own namespace.
    """

    case: Case
    profile: NodeProfile
    below: str = ""
    planner: tuple[str, ...] = ()
    turn: int = 0

    @property
    def name(self) -> str:
        """Names the node; the value of its label."""
        return f"{self.case.name}-{self.turn}"


@dataclass(frozen=True)
class Outcome:
    """What the scheduler did: how many server pods got a place, and what the others lacked. ``download`` likewise."""

    placed: int
    lacking: tuple[str, ...]
    download: bool


@cache
def every_trial() -> tuple[Trial, ...]:
    """Each case of the catalog on its own node, and on one of each next smaller machine type."""
    return tuple(trials(cases()))


def trials(chosen: Iterable[Case]) -> Iterator[Trial]:
    """The same of some cases."""
    for case in chosen:
        own = Trial(case, node_profile(case.machine.id))
        yield own
        for turn, below in enumerate(smaller(case.machine), start=1):
            offers = {"capacity": below.profile.capacity, "allocatable": below.profile.allocatable}
            yield Trial(case, replace(own.profile, **offers), below.label, lacking(case, below), turn)


def disagreement(trial: Trial, outcome: Outcome) -> str:
    """What is wrong between the two; empty when they agree.

    Where the planner says that pods fit, all of them and the download are placed. Otherwise one waits at least, and for
    what the planner named; several copies wait for what runs out first.
    """
    said = f"the planner: {', '.join(trial.planner) or 'fits'}; the scheduler: {outcome}"
    if not outcome.download:
        return f"{trial.name}: no room for the download; {said}"
    fits, named, short = outcome.placed == trial.case.copies, set(trial.planner), set(outcome.lacking)
    told = named <= short if trial.case.copies == 1 else named & short
    if fits is bool(named) or (named and not told):
        return f"{trial.name} on {trial.below or trial.case.machine.id}: {said}"
    return ""


def rendered(chosen: Sequence[Case], folder: Path) -> dict[str, list[Manifest]]:
    """The pods that the components make for each case: its servers, then its download."""
    files = [path for cloud in ZONES if (path := _stack_file(cloud, chosen, folder))]
    recorder = ROOT / "tests" / "components" / "record.py"
    done = subprocess.run([sys.executable, recorder, *files], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = {each["name"]: each["inputs"] for seen in json.loads(done.stdout) for each in seen if _makes_pods(each)}
    made: dict[str, list[Manifest]] = {}
    for case in chosen:
        server, download = found[f"{case.name}-server"]["spec"], found[f"{case.name}-fetch"]["spec"]
        servers = [_pod(f"{case.name}-{number}", server["template"]) for number in range(server["replicas"])]
        made[case.name] = [*servers, _pod(f"{case.name}-fetch", download["template"])]
    return made


def run(kube: Kube, tried: Sequence[Trial], pods: dict[str, list[Manifest]]) -> dict[str, Outcome]:
    """Every trial; outcomes by the name of the trial.

    On its own node the servers are there first and the download comes beside them, as a new revision does; on a smaller
    one the download is first, as it is when a service is new.
    """
    run_id = uuid.uuid4().hex[:8]
    spaces = {trial.turn: f"placement-{run_id}-{trial.turn}" for trial in tried}
    found: dict[str, Outcome] = {}
    try:
        for space in spaces.values():
            _space(kube, space)
        for start in range(0, len(tried), AT_ONCE):
            found |= _together(kube, tried[start : start + AT_ONCE], pods, spaces)
        return found
    finally:
        for space in spaces.values():
            kube.delete(f"/api/v1/namespaces/{space}")
            kube.delete(f"/api/v1/persistentvolumes/{space}")


def _together(
    kube: Kube, tried: Sequence[Trial], pods: dict[str, list[Manifest]], spaces: dict[int, str]
) -> dict[str, Outcome]:
    try:
        for trial in tried:
            kube.create(_node(trial))
        for trial in tried:
            kube.create(_system_pod(trial, spaces[trial.turn]))
        for of_servers in (True, False):
            for trial in tried:
                *servers, download = pods[trial.case.name]
                for pod in servers if of_servers is (trial.turn == 0) else [download]:
                    kube.create(_tried(pod, trial, spaces[trial.turn]))
            _decided(kube, spaces.values())
        answers = {turn: {pod["metadata"]["name"]: pod for pod in _pods(kube, s)} for turn, s in spaces.items()}
        return {
            trial.name: _outcome([answers[trial.turn][pod["metadata"]["name"]] for pod in pods[trial.case.name]])
            for trial in tried
        }
    finally:
        for space in spaces.values():
            kube.delete(f"/api/v1/namespaces/{space}/pods?gracePeriodSeconds=0")
        kube.delete(f"/api/v1/nodes?labelSelector={TRIAL}")


def _stack_file(cloud: str, chosen: Iterable[Case], folder: Path) -> Path | None:
    own = [case for case in chosen if case.machine.cloud == cloud]
    if not own:
        return None
    pools = {pool_of(case): case.pool for case in own}
    config = {
        "target": {"kind": "existing", "namespace": "placement", "node_labels": cloud},
        "pools": pools,
        "weights": {f"shared-{case.name}": SHARED for case in own if case.copies > 1},
        "services": {
            case.name: {
                **case.service,
                "pool": pool_of(case),
                **({"weights": f"shared-{case.name}"} if case.copies > 1 else {}),
            }
            for case in own
        },
    }
    path = folder / f"Pulumi.{cloud}.yaml"
    path.write_text(yaml.safe_dump({"config": {f"modelberth:{key}": value for key, value in config.items()}}))
    return path


def pool_of(case: Case) -> str:
    """The pool of this machine type."""
    return case.machine.id.replace(".", "-")


def _makes_pods(registration: dict[str, Any]) -> bool:
    return registration["type"].rpartition(":")[2] in ("Deployment", "Job")


def _pod(name: str, template: Manifest) -> Manifest:
    """A pod of this template. The account that it names is another object of the same service, and left out."""
    spec = {field: value for field, value in template["spec"].items() if field != "serviceAccountName"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": template["metadata"]["labels"]},
        "spec": spec,
    }


def _tried(pod: Manifest, trial: Trial, namespace: str) -> Manifest:
    """The pod as it was rendered, kept to the node of its trial. One claim stands for those of all services."""
    made: Manifest = copy.deepcopy(pod)
    made["metadata"]["namespace"] = namespace
    spec = made["spec"]
    spec["nodeSelector"] = {**spec["nodeSelector"], TRIAL: trial.name}
    spec["tolerations"] = [*spec.get("tolerations", []), *_tolerations()]
    for volume in spec["volumes"]:
        if "persistentVolumeClaim" in volume:
            volume["persistentVolumeClaim"]["claimName"] = CLAIM
    return made


def _tolerations() -> list[dict[str, str]]:
    return [{"key": TRIAL, "operator": "Exists"}, NOT_READY, UNREACHABLE]


def _node(trial: Trial) -> Manifest:
    node = simulated_node(trial.name, trial.profile, ZONES[trial.profile.cloud], None, 1)
    node["metadata"]["labels"] = {**node["metadata"]["labels"], TRIAL: trial.name}
    del node["metadata"]["labels"]["modelberth.dev/simulated"]
    del node["metadata"]["annotations"]
    node["spec"]["taints"] = [*node["spec"]["taints"], {"key": TRIAL, "effect": "NoSchedule"}]
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    ready = {"type": "Ready", "status": "True", "reason": "Tried", "message": "", "lastTransitionTime": now}
    node["status"]["conditions"] = [{**ready, "lastHeartbeatTime": now}]
    return node


def _system_pod(trial: Trial, namespace: str) -> Manifest:
    """What daemon sets bring to a node, as large as the planner allows."""
    asked = {"cpu": f"{SYSTEM_CPU_MILLICORES}m", "memory": f"{SYSTEM_MEMORY_MIB}Mi"}
    container = {"name": "system", "image": "example.invalid/system:1", "resources": {"requests": asked}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"{trial.case.name}-system", "namespace": namespace},
        "spec": {"nodeName": trial.name, "containers": [container], "tolerations": _tolerations()},
    }


def _space(kube: Kube, name: str) -> None:
    """A namespace with its account, and a claim whose volume is anywhere."""
    kube.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    shared = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
    volume = {
        **shared,
        "capacity": {"storage": "1Gi"},
        "claimRef": {"namespace": name, "name": CLAIM},
        "csi": {"driver": "simulated.modelberth.dev", "volumeHandle": name},
    }
    kube.create({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": volume})
    asked = {**shared, "volumeName": name, "resources": {"requests": {"storage": "1Gi"}}}
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": CLAIM, "namespace": name}}
    kube.create({**claim, "spec": asked})
    path = f"/api/v1/namespaces/{name}"
    kube.wait(lambda: kube.find(f"{path}/serviceaccounts/default"), what=f"the service account of {name}")
    bound = f"{path}/persistentvolumeclaims/{CLAIM}"
    kube.wait(lambda: kube.get(bound)["status"].get("phase") == "Bound", what=f"the claim of {name} is bound")


def _pods(kube: Kube, namespace: str) -> list[Manifest]:
    return kube.list(f"/api/v1/namespaces/{namespace}/pods")


def _decided(kube: Kube, namespaces: Iterable[str]) -> None:
    """Wait until the scheduler has bound every pod or said what its node lacks."""
    for namespace in namespaces:
        kube.wait(
            lambda space=namespace: all(_bound(pod) or _short_of(pod) for pod in _pods(kube, space)),
            WITHIN_S,
            what=f"a verdict on every pod of {namespace}",
            poll_s=0.5,
        )


def _bound(pod: Manifest) -> bool:
    return bool(pod["spec"].get("nodeName"))


def _short_of(pod: Manifest) -> list[str]:
    """What the scheduler says there is too little of."""
    conditions = {each["type"]: each for each in pod["status"].get("conditions", [])}
    verdict = conditions.get("PodScheduled", {})
    return SHORT.findall(verdict.get("message", "")) if verdict.get("status") == "False" else []


def _outcome(pods: Sequence[Manifest]) -> Outcome:
    *servers, download = pods
    lacking = {name for pod in servers if not _bound(pod) for name in _short_of(pod)}
    return Outcome(sum(map(_bound, servers)), tuple(sorted(lacking)), _bound(download))
