"""Runs the programs of stack files and prints every registration as JSON: type, name, parent, options, inputs.

python tests/components/record.py STACK_FILE ... prints a list per file. The engine is a recorder; what the components
register is real. Each program has a process of its own, forked when everything is imported.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import runpy
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
from pulumi.runtime import mocks, rpc

from modelberth import stackfiles
from modelberth.lock import settle

COMPUTED: dict[str, dict[str, Any]] = {
    "aws:ec2/launchTemplate:LaunchTemplate": {"latestVersion": 1},
    "aws:eks/cluster:Cluster": {
        "certificateAuthority": {"data": "authority"},
        "endpoint": "https://eks.example",
        "vpcConfig": {"clusterSecurityGroupId": "sg-cluster"},
    },
}
"""What clouds compute and components read."""


class Answers(mocks.Mocks):
    """Outputs are the inputs and what clouds compute; a resource without a physical name is named after itself."""

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        outputs = dict(args.inputs)
        if args.typ.startswith("kubernetes:"):
            outputs["metadata"] = {"name": args.name, **outputs.get("metadata", {})}
        if args.typ.startswith("gcp:"):
            outputs = {"name": args.name, **outputs}
        if args.typ.startswith("aws:"):
            outputs = {"name": args.name, **outputs, "arn": f"arn:aws:{args.typ.split('/')[0][4:]}:::{args.name}"}
        for key, value in COMPUTED.get(args.typ, {}).items():
            outputs[key] = {**outputs.get(key, {}), **value} if isinstance(value, dict) else value
        return f"{args.name}-id", outputs

    def call(self, args: mocks.MockCallArgs) -> dict[str, Any]:
        raise AssertionError(f"the program looks something up: {args.token}")


class Recorder(mocks.MockMonitor):
    """Keeps every registration."""

    def __init__(self) -> None:
        super().__init__(Answers())
        self.seen: list[dict[str, Any]] = []

    def RegisterResource(self, request: Any) -> Any:
        timeouts = {field.name: value for field, value in request.customTimeouts.ListFields()}
        self.seen.append(
            {
                "type": request.type,
                "name": request.name,
                "parent": request.parent.split("::", 2)[-1],
                "provider": request.provider.split("::", 2)[-1].rpartition("::")[0],
                "depends_on": sorted({urn.split("::")[-1] for urn in request.dependencies}),
                "protect": request.protect,
                "ignore_changes": list(request.ignoreChanges),
                "timeouts": timeouts,
                "inputs": whole(rpc.deserialize_properties(request.object)),
            }
        )
        return super().RegisterResource(request)


def whole(value: Any) -> Any:
    """Numbers cross the wire as floats; 2 reads better than 2.0."""
    if isinstance(value, dict):
        return {key: whole(inner) for key, inner in sorted(value.items())}
    if isinstance(value, list):
        return [whole(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def of_stack(stack_file: Path) -> Callable[[], pulumi.Output[Any]]:
    """The program of this project for a stack file."""
    found = stackfiles.read(stack_file)
    settled = settle(found.spec, found.locked)

    def program() -> pulumi.Output[Any]:
        from modelberth.components.stack import deploy

        services = deploy(found.spec, settled, Path("/project"))
        return pulumi.Output.all(*(service.endpoint for service in services.values()))

    return program


def of_its_own(folder: Path) -> Callable[[], None]:
    """The program in a folder, whose other modules it may import."""

    def program() -> None:
        sys.path.insert(0, str(folder))
        runpy.run_path(str(folder / "__main__.py"), run_name="__main__")

    return program


def record(stack_file: Path) -> list[dict[str, Any]]:
    """Every registration of a stack, or of the program in a folder, ordered by type and name."""
    asyncio.set_event_loop(asyncio.new_event_loop())
    recorder = Recorder()
    mocks.set_mocks(recorder.mocks, project="modelberth", stack="golden", monitor=recorder)
    run = of_its_own(stack_file) if stack_file.is_dir() else of_stack(stack_file)
    pulumi.runtime.test(run)()
    return sorted(recorder.seen, key=lambda entry: (entry["type"], entry["name"]))


def apart(stack_file: Path) -> list[dict[str, Any]]:
    """The same in a process of its own: the SDK keeps its state in globals."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            with os.fdopen(writing, "w") as out:
                json.dump(record(stack_file), out)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as said:
        text = said.read()
    if os.waitpid(child, 0)[1]:
        sys.exit(f"{stack_file} cannot be recorded")
    return json.loads(text)


if __name__ == "__main__":
    from modelberth.components import stack  # noqa: F401 (imported once, for all of them)
    from modelberth.components.targets import MANAGED

    files = [Path(name) for name in sys.argv[1:]]
    programs = set(MANAGED) if any(path.is_dir() for path in files) else set[str]()
    stacks = {stackfiles.read(path).spec.target.kind for path in files if path.is_file()}
    for kind in (stacks | programs) & set(MANAGED):
        importlib.import_module(f"modelberth.components.targets.{kind}")  # with the cloud's SDK, which takes a while
    json.dump([apart(path) for path in files], sys.stdout)
