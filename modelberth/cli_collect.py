"""The command ``modelberth collect``: which folders of weights stay, and a Job that removes the others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from modelberth import stackfiles
from modelberth.engines.base import WEIGHTS_MOUNT, Fetch
from modelberth.engines.collect import collection, folders_of
from modelberth.errors import ModelberthError
from modelberth.host import FETCH_HOST, USER_ID
from modelberth.lock import settle
from modelberth.units import cores, mebibytes


def collect_command(
    files: Annotated[list[str], typer.Argument(metavar="STACK...", help="Every stack that uses the volume or bucket.")],
    claim: Annotated[str | None, typer.Option(help="The claim to collect; its Job is printed.")] = None,
    namespace: Annotated[str | None, typer.Option(help="Namespace of the claim; default: the first stack's.")] = None,
    also: Annotated[list[str] | None, typer.Option(help="A folder to keep, to go back to it.")] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Remove; without it, only name.")] = False,
) -> None:
    """Old revisions of weights: the folders that services name, or with --claim the Job for `kubectl create -f -`."""
    stacks = [stackfiles.read(stackfiles.find(file, Path.cwd())) for file in files]
    launches = [
        plan.launch
        for stack in stacks
        for plan in settle(stack.spec, stack.locked, stack_name=stack.name).plans
        if plan.launch.fetch
    ]
    kept = (*folders_of(launches), *(also or ()))
    if not kept:
        raise ModelberthError(
            f"{', '.join(files)}: no service fills a volume or a bucket, so there is nothing to collect"
        )
    if claim is None:
        typer.echo("\n".join(sorted(kept)))
        return
    step = collection(launches[0].fetch[0].image, kept, remove=remove)
    typer.echo(
        yaml.safe_dump(_job(step, claim, namespace or stacks[0].spec.target.namespace), sort_keys=False), nl=False
    )


def _job(step: Fetch, claim: str, namespace: str) -> dict[str, Any]:
    """A Job as restricted namespaces admit it."""
    asked = {"cpu": cores(FETCH_HOST.cpu_millicores), "memory": mebibytes(FETCH_HOST.memory_mib)}
    container = {
        "name": "collect",
        "image": step.image,
        "command": ["sh", "-c", step.script],
        "env": [{"name": name, "value": value} for name, value in step.env],
        "resources": {"requests": asked, "limits": asked},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "weights", "mountPath": WEIGHTS_MOUNT}],
    }
    pod = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER_ID,
            "runAsGroup": USER_ID,
            "fsGroup": USER_ID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "tolerations": [{"operator": "Exists", "effect": "NoSchedule"}],
        "containers": [container],
        "volumes": [{"name": "weights", "persistentVolumeClaim": {"claimName": claim}}],
    }
    spec = {"backoffLimit": 0, "ttlSecondsAfterFinished": 24 * 3600, "template": {"spec": pod}}
    metadata = {"generateName": "collect-", "namespace": namespace}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}
