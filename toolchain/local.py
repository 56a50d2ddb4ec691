"""`make up` and `make down`: a stack of this project on the embedded cluster, from plan to endpoints and back."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from modelberth import report, stackfiles
from modelberth.errors import ModelberthError
from modelberth.lock import settle
from toolchain import build, cluster, engine, played
from toolchain.kube import Kube

ROOT = engine.CLONE
STATE = ROOT / engine.STATE
CLUSTER = ROOT / ".modelberth" / "cluster"
NODES = ROOT / "toolchain" / "clusters" / "local.yaml"
POLICIES = ROOT / "policies"


def up(stack: str) -> int:
    """Plan, start the cluster, create, and print what answers where. Returns the engine's exit code."""
    found = stackfiles.read(stackfiles.find(stack, ROOT))
    if found.spec.target.kind != "existing":
        return _cloud_up(stack, found)
    kubeconfig = found.spec.target.kubeconfig or ""
    if (ROOT / kubeconfig) != CLUSTER / "kubeconfig":
        command = f"python -m toolchain.engine up --stack {stack} --policy-pack policies"
        raise engine.EngineError(f"stack {stack} is not on the embedded cluster; for any other: {command}")
    settled = settle(found.spec, found.locked, stack_name=stack)
    print(report.as_text(settled), flush=True)
    running = cluster.up(CLUSTER, NODES)
    arguments = ["up", "--stack", stack, "--yes", "--suppress-outputs", "--suppress-progress"]
    done = engine.run([*arguments, "--policy-pack", str(POLICIES)], root=ROOT, state=STATE, check=False)
    if done.returncode:
        return done.returncode
    outputs = engine.run(["stack", "output", "--json", "--stack", stack], root=ROOT, state=STATE, capture=True)
    _print_services(json.loads(outputs.stdout), Kube(running.kubeconfig), found.spec.target.namespace)
    return 0


def _cloud_up(stack: str, found: stackfiles.StackFile) -> int:
    """The same for a stack of a cloud, which stand-ins play unless a real account is asked for."""
    kind = found.spec.target.kind
    if is_real():
        return played.real_up(POLICIES, stack, kind)
    print(played.first_line(stack, kind), flush=True)
    print(report.as_text(settle(found.spec, found.locked, stack_name=stack)), flush=True)
    here = played.Played(stack)
    kube = here.start()
    here.seed(found.path)
    done = here.engine("up", "--yes", "--suppress-outputs", "--suppress-progress", "--policy-pack", str(POLICIES))
    if done.returncode:
        return done.returncode
    outputs = json.loads(here.engine("stack", "output", "--json", capture=True).stdout)
    _print_services(outputs, kube, found.spec.target.namespace)
    return 0


def is_real() -> bool:
    """Whether CLOUD asks for a real account; nothing else does, whatever credentials there are."""
    asked = os.environ.get("CLOUD", "")
    if asked not in ("", "real"):
        raise engine.EngineError(f"CLOUD={asked} means nothing: leave it out for stand-ins, or say CLOUD=real")
    return asked == "real"


def _print_services(outputs: dict[str, dict[str, str]], kube: Kube, namespace: str) -> None:
    deployments = kube.list(f"/apis/apps/v1/namespaces/{namespace}/deployments")
    print("\nservices (on simulated nodes; their pods are simulated and compute nothing)")
    width = max((len(name) for name, output in outputs.items() if "endpoint" in output), default=0)
    for name, output in sorted(outputs.items()):
        if "endpoint" not in output:
            continue
        mine = [d for d in deployments if d["metadata"]["labels"].get("app.kubernetes.io/instance") == name]
        ready = sum(d["status"].get("readyReplicas", 0) for d in mine)
        wanted = sum(d["spec"]["replicas"] for d in mine)
        print(f"  {name.ljust(width)}  ready {ready}/{wanted}  {output['endpoint']}")


def down(stack: str) -> int:
    """Destroy the stack, forget it, stop the cluster. Works when nothing is there."""
    if is_real():
        found = stackfiles.read(stackfiles.find(stack, ROOT))
        return played.real_down(stack, found.spec.target.kind)
    if (here := played.Played(stack)).is_there:
        return _cloud_down(here)
    if (STATE / ".pulumi").is_dir():
        cluster.up(CLUSTER, NODES)
        for arguments in (["destroy", "--yes", "--suppress-progress"], ["stack", "rm", "--yes"]):
            done = engine.run([*arguments, "--stack", stack], root=ROOT, state=STATE, check=False)
            if done.returncode:
                return done.returncode
    others = _other_stacks()
    if others:
        print(f"kept, for these stacks still have resources: {', '.join(others)}; the cluster runs on")
        return 0
    cluster.down(CLUSTER, purge=True)
    shutil.rmtree(STATE, ignore_errors=True)
    print("nothing is left: no resource, no state, no process")
    return 0


def _cloud_down(here: played.Played) -> int:
    if code := here.down():
        return code
    print("nothing is left: no object of the stand-ins, no state, no process")
    return 0


def _other_stacks() -> list[str]:
    """Stacks whose resources the state still holds."""
    if not (STATE / ".pulumi").is_dir():
        return []
    listed = engine.run(["stack", "ls", "--all", "--json"], root=ROOT, state=STATE, capture=True)
    return sorted(each["name"] for each in json.loads(listed.stdout) if each.get("resourceCount"))


def main(arguments: list[str]) -> int:
    """`python -m toolchain.local up|down STACK`."""
    if len(arguments) != 2 or arguments[0] not in ("up", "down"):
        print("usage: python -m toolchain.local up|down STACK", file=sys.stderr)
        return 2
    return told(lambda: up(arguments[1]) if arguments[0] == "up" else down(arguments[1]))


def told(work: Callable[[], int]) -> int:
    """The exit code of some work; what it raises on purpose is said in one line, and the code is 1."""
    try:
        return work()
    except (ModelberthError, cluster.ClusterError, engine.EngineError, build.BuildError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(f"error: {Path(error.cmd[0]).name} {' '.join(error.cmd[1:3])}: {error.stderr or error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
