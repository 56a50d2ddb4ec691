"""A real provider plugin whose calls are counted and met by faults, as those of the stand-ins are.

`python -m tests.providers.counted kubernetes BINARY`: the engine speaks to this process, which passes every message on
to the real plugin as it is. Create, read, update and delete are calls of the cloud; previews are not.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent import futures
from typing import Any

import grpc
from google.protobuf import any_pb2
from google.rpc import status_pb2
from pulumi.runtime.proto import provider_pb2

from tests.providers import faults
from tests.providers.__main__ import LONGEST_MESSAGE, ORPHAN_POLL_S
from tests.providers.cloud import Cloud, Fault

LIMITS = [("grpc.max_receive_message_length", LONGEST_MESSAGE), ("grpc.max_send_message_length", LONGEST_MESSAGE)]
REQUESTS = {
    "Create": provider_pb2.CreateRequest,
    "Read": provider_pb2.ReadRequest,
    "Update": provider_pb2.UpdateRequest,
    "Delete": provider_pb2.DeleteRequest,
}
DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG of Linux


class Passed(grpc.GenericRpcHandler):
    """Every method of the service, passed on as bytes."""

    def __init__(self, package: str, channel: grpc.Channel) -> None:
        self._package, self._channel, self._cloud = package, channel, Cloud.of_environment()

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        """The handler of one method."""
        name = details.method.rpartition("/")[2]
        forward = self._channel.unary_unary(details.method)
        return grpc.unary_unary_rpc_method_handler(lambda message, context: self._call(name, forward, message, context))

    def _call(self, name: str, forward: Callable[..., Any], message: bytes, context: grpc.ServicerContext) -> bytes:
        request = REQUESTS[name].FromString(message) if name in REQUESTS else None
        if request is None or getattr(request, "preview", False):
            return _answer(forward, message, context)
        type_ = request.urn.split("::")[2].rpartition("$")[2]
        number, fault = self._cloud.begin(name.lower(), type_, request.urn)
        kind = fault.kind if fault else ""

        def log(outcome: str, id_: str = "") -> None:
            self._cloud.end(number, name.lower(), type_, urn=request.urn, id_=id_, outcome=outcome)

        if kind in faults.REFUSING:
            log(kind)
            context.abort(grpc.StatusCode.UNKNOWN, faults.MESSAGES[self._package][kind])
        if kind.endswith("-before"):
            log(kind)
            faults.crash(kind)
        answer = _answer(forward, message, context, lambda: log("refused"))
        log(kind or "ok", getattr(request, "id", ""))
        if kind.endswith("-after"):
            faults.crash(kind)
        if fault and kind in faults.HALF_DONE:
            self._half_done(name, fault, request, answer, context)
        return answer

    def _half_done(self, name: str, fault: Fault, request: Any, answer: bytes, context: grpc.ServicerContext) -> None:
        """Answer an error although it was done; what was made or changed belongs into the state."""
        message = faults.MESSAGES[self._package][fault.kind]
        if name in ("Create", "Update"):
            made = (provider_pb2.CreateResponse if name == "Create" else provider_pb2.UpdateResponse).FromString(answer)
            inputs = request.properties if name == "Create" else request.news
            id_ = made.id if name == "Create" else request.id
            detail = provider_pb2.ErrorResourceInitFailed(
                id=id_, properties=made.properties, inputs=inputs, reasons=[message]
            )
            packed = any_pb2.Any()
            packed.Pack(detail)
            status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=message, details=[packed])
            context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        context.abort(grpc.StatusCode.UNKNOWN, message)


def _answer(
    forward: Callable[..., Any],
    message: bytes,
    context: grpc.ServicerContext,
    refused: Callable[[], None] = lambda: None,
) -> bytes:
    try:
        return forward(message)
    except grpc.RpcError as error:
        refused()
        context.set_trailing_metadata(tuple(error.trailing_metadata() or ()))  # type: ignore[attr-defined]
        context.abort(error.code(), error.details())  # type: ignore[attr-defined]
        raise


def _dies_with_parent() -> None:
    ctypes.CDLL(None).prctl(DIES_WITH_PARENT, signal.SIGKILL)


def main(package: str, binary: str, *arguments: str) -> None:
    """Serve until the engine says stop or is gone."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(0))
    engine = os.getppid()
    real = subprocess.Popen([binary, *arguments], stdout=subprocess.PIPE, text=True, preexec_fn=_dies_with_parent)
    assert real.stdout
    channel = grpc.insecure_channel(f"127.0.0.1:{int(real.stdout.readline())}", options=LIMITS)
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=32), options=LIMITS)
    server.add_generic_rpc_handlers((Passed(package, channel),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    while os.getppid() == engine and real.poll() is None:
        time.sleep(ORPHAN_POLL_S)
    real.kill()


if __name__ == "__main__":
    main(*sys.argv[1:])
