"""Services are changed in waves, and a wave that fails is the last one. The refusal is the API server's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.engine.conftest import Project
from toolchain.kube import Kube, Manifest

pytestmark = pytest.mark.engine

FIRST: dict[str, Any] = {"model": "Qwen/Qwen2.5-7B-Instruct", "context": 4096, "concurrency": 2, "pool": "l4"}
SECOND: dict[str, Any] = FIRST | {"wave": 2}
CHANGED = {"extra_args": ["--seed", "7"]}


def arguments_of(kube: Kube, namespace: str, service: str) -> list[str]:
    labels = f"app.kubernetes.io/instance={service}"
    (deployment,) = kube.list(f"/apis/apps/v1/namespaces/{namespace}/deployments", labels=labels)
    return deployment["spec"]["template"]["spec"]["containers"][0]["args"]


@contextmanager
def closed(kube: Kube, namespace: str) -> Iterator[None]:
    """An admission policy of the real API server that refuses every change to the first service's Deployment."""
    name = f"closed-{namespace}"
    group = "admissionregistration.k8s.io/v1"
    rule = {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["deployments"]}
    policy: Manifest = {
        "apiVersion": group,
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [rule]},
            "validations": [{"expression": "!object.metadata.name.startsWith('first')", "message": "closed today"}],
        },
    }
    selected = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    binding: Manifest = {
        "apiVersion": group,
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {
            "policyName": name,
            "validationActions": ["Deny"],
            "matchResources": {"namespaceSelector": selected},
        },
    }
    kube.create(policy)
    kube.create(binding)
    try:
        yield
    finally:
        kube.delete(binding)
        kube.delete(policy)


def test_a_wave_that_fails_leaves_the_later_ones_as_they_are(project: Project, kube: Kube) -> None:
    project.write({"first": FIRST, "second": SECOND})
    done = project.pulumi("up", "--yes", "--skip-preview")
    assert done.returncode == 0, done.stdout + done.stderr

    project.write({"first": FIRST | CHANGED, "second": SECOND | CHANGED})
    with closed(kube, project.namespace):
        stopped = project.pulumi("up", "--yes", "--skip-preview")
    assert stopped.returncode != 0
    assert "closed today" in stopped.stdout + stopped.stderr
    assert "--seed" not in arguments_of(kube, project.namespace, "second")

    done = project.pulumi("up", "--yes", "--skip-preview")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "--seed" in arguments_of(kube, project.namespace, "second")
