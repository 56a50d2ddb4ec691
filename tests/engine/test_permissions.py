"""A deployer with the generated roles and nothing else makes, changes and removes a stack, in this order."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelberth.clouds import kinds
from tests.engine.conftest import ROOT, Project
from toolchain.kube import Kube

pytestmark = pytest.mark.engine

CHAT: dict[str, Any] = {"model": "meta-llama/Llama-3.1-8B-Instruct", "context": 8192, "concurrency": 3, "pool": "l4"}
RBAC = "rbac.authorization.k8s.io"


def registered(stack_file: Path) -> set[str]:
    """The types that the program of a stack file registers."""
    script = ROOT / "tests" / "components" / "record.py"
    done = subprocess.run([sys.executable, str(script), str(stack_file)], capture_output=True, text=True, check=True)
    return {each["type"] for each in json.loads(done.stdout)[0]}


class Deployer:
    """A service account with the roles of a stack, bound in the stack's namespace where they are of one."""

    def __init__(self, kube: Kube, project: Project) -> None:
        self.kube, self.namespace = kube, project.namespace
        self.name = f"deployer-{project.namespace}"
        self.roles = list(yaml.safe_load_all(kinds.cluster_roles(registered(project.write({"chat": CHAT})), self.name)))
        kube.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": project.namespace}})
        account = {"name": self.name, "namespace": "default"}
        kube.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account})
        config = yaml.safe_load(project.kubeconfig.read_text())
        config["users"][0]["user"] = {"token": kube.token("default", self.name)}
        project.kubeconfig = project.root / "kubeconfig"
        project.kubeconfig.write_text(yaml.safe_dump(config))
        subject = {"kind": "ServiceAccount", **account}
        for role, bound in zip(self.roles, ("ClusterRoleBinding", "RoleBinding"), strict=True):
            kube.create(role)
            place = {"namespace": self.namespace} if bound == "RoleBinding" else {}
            name = role["metadata"]["name"]
            kube.create(
                {
                    "apiVersion": f"{RBAC}/v1",
                    "kind": bound,
                    "metadata": {"name": name, **place},
                    "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": name},
                    "subjects": [subject],
                }
            )

    def allowed(self, resource: str, *verbs: str) -> None:
        """Let the deployer do this with a resource of the namespace from now on, instead of what its role says."""
        role = yaml.safe_load(yaml.safe_dump(self.roles[1]))
        for rule in role["rules"]:
            if resource in rule["resources"]:
                rule["resources"].remove(resource)
                role["rules"].append({**rule, "resources": [resource], "verbs": list(verbs)})
                break
        role["rules"] = [rule for rule in role["rules"] if rule["resources"] and rule["verbs"]]
        self.kube.delete(role)
        self.kube.create(role)

    def whole(self) -> None:
        """Give it the whole role again."""
        self.kube.delete(self.roles[1])
        self.kube.create(self.roles[1])

    def gone(self) -> None:
        """Remove what lies outside the namespace."""
        for role in self.roles:
            self.kube.delete(role)
        binding = {"name": self.name}
        self.kube.delete({"apiVersion": f"{RBAC}/v1", "kind": "ClusterRoleBinding", "metadata": binding})
        account = {"name": self.name, "namespace": "default"}
        self.kube.delete({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account})


@pytest.fixture(scope="module")
def project(make_project: Any) -> Project:
    return make_project()


@pytest.fixture(scope="module")
def deployer(project: Project, kube: Kube) -> Any:
    found = Deployer(kube, project)
    project.write({"chat": CHAT})
    yield found
    found.gone()


def test_without_a_right_to_make_deployments_the_refusal_names_it(project: Project, deployer: Deployer) -> None:
    deployer.allowed("deployments", *kinds.WATCHED)
    done = project.pulumi("up", "--yes", "--skip-preview")
    deployer.whole()
    text = done.stdout + done.stderr
    assert done.returncode != 0
    assert "these credentials may not: create and patch Deployment" in text


def test_the_roles_are_enough_to_make_a_stack(project: Project, deployer: Deployer) -> None:
    done = project.pulumi("up", "--yes", "--skip-preview")
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    assert "forbidden" not in text


def test_and_to_change_it(project: Project, deployer: Deployer) -> None:
    project.write({"chat": CHAT | {"context": 16384, "typical_tokens": 4096}})
    project.lock()
    done = project.pulumi("up", "--yes", "--skip-preview")
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    assert "updated" in text
    assert "forbidden" not in text


def test_and_to_look_again_and_remove_it(project: Project, deployer: Deployer) -> None:
    done = project.pulumi("destroy", "--refresh", "--yes", "--skip-preview")
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    assert "forbidden" not in text
    assert project.resources() == []
