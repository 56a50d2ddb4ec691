"""Registers the Deployment of deployment.yaml; rendered to a folder, so that no cluster is needed."""

from pathlib import Path

import pulumi
import pulumi_kubernetes as kubernetes
import yaml

manifest = yaml.safe_load(Path(__file__).with_name("deployment.yaml").read_text(encoding="utf-8"))
rendered = kubernetes.Provider("rendered", render_yaml_to_directory="rendered")
kubernetes.apps.v1.Deployment(
    manifest["metadata"]["name"],
    metadata=manifest["metadata"],
    spec=manifest["spec"],
    opts=pulumi.ResourceOptions(provider=rendered),
)
