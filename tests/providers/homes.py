"""A home of the engine in which the stand-ins are installed, and the environment for running it."""

from __future__ import annotations

import base64
import os
import shlex
import ssl
import sys
from pathlib import Path

from tests.providers import sdk_types
from tests.providers.cloud import FOLDER_VARIABLE
from tests.providers.cluster import KUBECONFIG_VARIABLE, data
from toolchain import engine

PACKAGES = ("gcp", "aws")
LOGINS = {"gke-gcloud-auth-plugin": "gcp", "aws": "aws"}
"""Programs that kubeconfigs call, each with the word that tells the stand-in for which it stands."""
SCRIPT = """#!/bin/sh
PYTHONPATH={clone} exec {python} -m {module} {words} "$@"
"""
NEVER_PASSED_ON = ("AWS_", "GOOGLE_", "GCLOUD_", "CLOUDSDK_", "GCP_")
"""Variables that the SDKs read as inputs of their providers, or that name an account of the user's."""


def environment(
    root: Path, state: Path, cloud: Path, kubeconfig: Path | None = None, *, counted: bool = False
) -> dict[str, str]:
    """The environment of `toolchain.engine`, with the stand-ins as the `gcp` and `aws` plugins.

    `cloud` is the folder that the stand-ins keep their objects in; `kubeconfig` is that of the cluster which every
    Kubernetes cluster they make turns out to be. With `counted`, calls of the Kubernetes provider are counted too, and
    faults meet them.
    """
    found = engine.environment(root, state)
    variables = {key: value for key, value in found.items() if not key.startswith(NEVER_PASSED_ON)}
    tools = cloud / ".tools"
    _install(Path(variables["PULUMI_HOME"]), tools, counted)
    variables |= {"PULUMI_HOME": str(tools / "home"), FOLDER_VARIABLE: str(cloud.absolute())}
    variables["PATH"] = os.pathsep.join([str(tools / "bin"), variables["PATH"]])
    if kubeconfig is not None:
        trusted = tools / "trusted.pem"  # a GKE cluster's DNS endpoint has a certificate that everybody trusts
        trusted.write_text(_system_certificates() + _authority(kubeconfig))
        variables |= {KUBECONFIG_VARIABLE: str(kubeconfig.absolute()), "SSL_CERT_FILE": str(trusted)}
    return variables


def _install(existing: Path, tools: Path, counted: bool) -> None:
    """Put beside the cloud: the plugins of a home, the stand-ins at the versions of their SDKs, and the logins."""
    plugins = tools / "home" / "plugins"
    for source in (existing / "plugins").iterdir():
        if source.is_dir():
            (plugins / source.name).mkdir(parents=True, exist_ok=True)
            for file in source.iterdir():
                target = plugins / source.name / file.name
                if counted and file.name == "pulumi-resource-kubernetes":
                    _script(target, "tests.providers.counted", "kubernetes", str(file))
                elif not target.exists():
                    os.symlink(file, target)
    for package in PACKAGES:
        name = f"resource-{package}-v{sdk_types.version(package)}"
        _script(plugins / name / f"pulumi-resource-{package}", "tests.providers", package)
    for name, word in LOGINS.items():
        _script(tools / "bin" / name, "tests.providers.credentials", word)
    for name in ("gcloud", "kubectl"):
        _script(tools / "bin" / name, f"tests.providers.{name}")


def _script(path: Path, module: str, *words: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # never written through a link into the plugin itself
    clone, python = shlex.quote(str(engine.CLONE)), shlex.quote(sys.executable)
    path.write_text(SCRIPT.format(clone=clone, python=python, module=module, words=shlex.join(words)))
    path.chmod(0o755)


def _system_certificates() -> str:
    file = ssl.get_default_verify_paths().cafile
    return Path(file).read_text() if file and Path(file).is_file() else ""


def _authority(kubeconfig: Path) -> str:
    """The certificate that the kubeconfig's cluster is known by."""
    return base64.b64decode(data(kubeconfig, "cluster", "certificate-authority")).decode()
