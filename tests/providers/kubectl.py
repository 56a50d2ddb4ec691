"""Stands in for `kubectl get` and `kubectl delete`, as far as a recovery calls them, on the embedded cluster."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from tests.providers.cluster import KUBECONFIG_VARIABLE
from toolchain.kube import Kube


def _manifest(kube: Kube, kind: str, namespace: str, name: str = "") -> dict[str, Any]:
    """`deployment.v1.apps` as the head of an object."""
    word, _, rest = kind.partition(".")
    version, _, group = rest.partition(".")
    version = f"{group}/{version}" if group else version or "v1"
    served = kube.get(f"/apis/{version}" if group else f"/api/{version}")["resources"]
    named = next(each["kind"] for each in served if word in (each["kind"].lower(), each["name"]))
    return {"apiVersion": version, "kind": named, "metadata": {"name": name, "namespace": namespace}}


def main(words: list[str]) -> int:
    """Answer one command."""
    options = dict(each.removeprefix("--").partition("=")[::2] for each in words if each.startswith("--"))
    verb, *plain = [each for each in words if not each.startswith("--")]
    kube = Kube(Path(os.environ[KUBECONFIG_VARIABLE]))
    if verb == "delete":
        kube.delete(_manifest(kube, plain[0], options["namespace"], plain[1]))
        return 0
    if verb != "get" or options.get("output") != "json":
        print(f"the stand-in for kubectl does not know: {' '.join(words)}", file=sys.stderr)
        return 2
    items: list[dict[str, Any]] = []
    for kind in plain[0].split(","):
        head = _manifest(kube, kind, options["namespace"])
        path = kube.path(head).rpartition("/")[0]
        items += [{**each, "apiVersion": head["apiVersion"], "kind": head["kind"]} for each in kube.list(path)]
    print(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
