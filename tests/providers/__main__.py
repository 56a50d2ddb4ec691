"""`python -m tests.providers gcp|aws`: a provider plugin; the engine starts it and reads its port from stdout."""

from __future__ import annotations

import os
import signal
import sys
import time
from concurrent import futures

import grpc
from pulumi.runtime.proto import provider_pb2_grpc

from tests.providers.server import Provider

ORPHAN_POLL_S = 0.5
LONGEST_MESSAGE = 400 * 1024 * 1024


def main(package: str, engine: str = "") -> None:
    """Serve until the engine says stop or is gone."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(0))
    options = [("grpc.max_receive_message_length", LONGEST_MESSAGE), ("grpc.max_send_message_length", LONGEST_MESSAGE)]
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8), options=options)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Provider(package, engine), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(ORPHAN_POLL_S)


if __name__ == "__main__":
    main(*sys.argv[1:3])
