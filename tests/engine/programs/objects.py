"""Registers what objects.json holds; {"$later": x} is a value only known after apply, {"$secret": x} a secret."""

import json
import os
from pathlib import Path
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

rendered = pulumi.ResourceOptions(provider=kubernetes.Provider("rendered", render_yaml_to_directory="rendered"))


class Object(pulumi.CustomResource):
    """An object of any kind."""

    def __init__(self, name: str, manifest: dict[str, Any]) -> None:
        version = manifest["apiVersion"]
        kind = f"kubernetes:{version if '/' in version else f'core/{version}'}:{manifest['kind']}"
        super().__init__(kind, name, {key: value(each) for key, each in manifest.items()}, rendered)


def value(of: Any) -> Any:
    """A value of a manifest as a program computes it."""
    if isinstance(of, dict):
        if "$later" in of:
            return later.id.apply(lambda _: of["$later"])
        if "$secret" in of:
            return pulumi.Output.secret(of["$secret"])
        return {key: value(each) for key, each in of.items()}
    return [value(each) for each in of] if isinstance(of, list) else of


given = json.loads(Path(os.environ.get("OBJECTS", "objects.json")).read_text(encoding="utf-8"))
later = Object("later", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "later"}, "data": {}})
for name, manifest in given.items():
    Object(name, manifest)
