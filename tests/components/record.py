"""Runs the program of a stack file and prints every registration as JSON: type, name, parent, options, inputs.

python tests/components/record.py STACK_FILE. The engine is a recorder; what the components register is real.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pulumi
from pulumi.runtime import mocks, rpc

from modelberth import stackfiles
from modelberth.lock import settle


class Answers(mocks.Mocks):
    """Outputs are the inputs; a resource without a physical name is named after itself."""

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        outputs = dict(args.inputs)
        if args.typ.startswith("kubernetes:"):
            outputs["metadata"] = {"name": args.name, **outputs.get("metadata", {})}
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


def record(stack_file: Path) -> list[dict[str, Any]]:
    """Every registration of a stack, ordered by type and name."""
    asyncio.set_event_loop(asyncio.new_event_loop())
    recorder = Recorder()
    mocks.set_mocks(recorder.mocks, project="modelberth", stack="golden", monitor=recorder)
    found = stackfiles.read(stack_file)
    settled = settle(found.spec, found.locked)

    @pulumi.runtime.test
    def program() -> pulumi.Output[Any]:
        from modelberth.components.stack import deploy

        services = deploy(found.spec, settled, Path("/project"))
        return pulumi.Output.all(*(service.endpoint for service in services.values()))

    program()
    return sorted(recorder.seen, key=lambda entry: (entry["type"], entry["name"]))


if __name__ == "__main__":
    json.dump(record(Path(sys.argv[1])), sys.stdout, indent=1)
