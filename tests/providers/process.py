"""A stand-in as a process of its own, spoken to as the engine does, without an engine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from tests.providers.cloud import FOLDER_VARIABLE, Cloud
from tests.providers.cluster import KUBECONFIG_VARIABLE
from tests.providers.values import from_struct, to_struct

ROOT = Path(__file__).resolve().parents[2]
CONFIG = {"gcp": {"project": "demo-project", "region": "us-central1"}, "aws": {"region": "us-east-1"}}


class Plugin:
    """One running plugin, configured."""

    def __init__(self, package: str, port: int, cloud: Cloud) -> None:
        self._package = package
        self.cloud = cloud
        self._stub = provider_pb2_grpc.ResourceProviderStub(grpc.insecure_channel(f"127.0.0.1:{port}"))
        self._stub.Configure(provider_pb2.ConfigureRequest(args=to_struct(CONFIG[package])))

    def _request(self, kind: Any, token: str, logical: str, **more: Any) -> Any:
        return kind(urn=f"urn:pulumi:dev::test::{token}::{logical}", **more)

    def config_failures(self, **config: Any) -> dict[str, str]:
        """Why the provider's own inputs are refused: path -> reason."""
        urn = f"urn:pulumi:dev::test::pulumi:providers:{self._package}::p"
        return _failures(self._stub.CheckConfig(provider_pb2.CheckRequest(urn=urn, news=to_struct(config))))

    def failures(self, token: str, logical: str = "thing", **inputs: Any) -> dict[str, str]:
        """Why inputs are refused: path -> reason."""
        request = self._request(provider_pb2.CheckRequest, token, logical, news=to_struct(inputs), randomSeed=b"seed")
        return _failures(self._stub.Check(request))

    def checked(
        self, token: str, logical: str = "thing", old: dict[str, Any] | None = None, **inputs: Any
    ) -> dict[str, Any]:
        """Inputs as they are after the check, which they have to pass."""
        request = self._request(
            provider_pb2.CheckRequest,
            token,
            logical,
            news=to_struct(inputs),
            olds=to_struct(old or {}),
            randomSeed=b"seed",
        )
        response = self._stub.Check(request)
        assert not response.failures, response.failures
        return from_struct(response.inputs)

    def create(self, token: str, logical: str = "thing", **inputs: Any) -> tuple[str, dict[str, Any]]:
        """Check and make an object; its id and outputs."""
        checked = self.checked(token, logical, **inputs)
        request = self._request(provider_pb2.CreateRequest, token, logical, properties=to_struct(checked))
        made = self._stub.Create(request)
        return made.id, from_struct(made.properties)

    def update(self, token: str, id_: str, old: dict[str, Any], **inputs: Any) -> dict[str, Any]:
        """Check and change an object in place; its outputs."""
        checked = self.checked(token, old=old, **inputs)
        made = self._stub.Update(
            self._request(
                provider_pb2.UpdateRequest, token, "thing", id=id_, olds=to_struct(old), news=to_struct(checked)
            )
        )
        return from_struct(made.properties)

    def read(self, token: str, id_: str) -> dict[str, Any]:
        """What there is under an id; empty when there is nothing."""
        return from_struct(self._stub.Read(self._request(provider_pb2.ReadRequest, token, "thing", id=id_)).properties)

    def replaces(self, token: str, old: dict[str, Any], new: dict[str, Any]) -> tuple[list[str], bool]:
        """Which inputs make a change a replacement, and whether the old object goes first."""
        request = self._request(
            provider_pb2.DiffRequest, token, "thing", id="id", old_inputs=to_struct(old), news=to_struct(new)
        )
        response = self._stub.Diff(request)
        return list(response.replaces), response.deleteBeforeReplace

    def delete(self, token: str, id_: str, inputs: dict[str, Any]) -> None:
        """Delete an object."""
        self._stub.Delete(
            self._request(provider_pb2.DeleteRequest, token, "thing", id=id_, old_inputs=to_struct(inputs))
        )

    def invoke(self, token: str, **arguments: Any) -> dict[str, Any]:
        """Call a function."""
        response = self._stub.Invoke(provider_pb2.InvokeRequest(tok=token, args=to_struct(arguments)))
        return from_struct(getattr(response, "return"))


def _failures(response: Any) -> dict[str, str]:
    return {each.property: each.reason for each in response.failures}


@contextmanager
def running(package: str, folder: Path, kubeconfig: Path | None = None) -> Iterator[Plugin]:
    """A plugin with an empty cloud in a folder."""
    environment = {**os.environ, FOLDER_VARIABLE: str(folder), "PYTHONPATH": str(ROOT)}
    environment |= {KUBECONFIG_VARIABLE: str(kubeconfig)} if kubeconfig else {}
    command = [sys.executable, "-m", "tests.providers", package]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT) as process:
        assert process.stdout
        try:
            yield Plugin(package, int(process.stdout.readline()), Cloud(folder))
        finally:
            process.terminate()
