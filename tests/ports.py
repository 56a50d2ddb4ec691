"""Ports of the loopback for servers that tests start."""

from __future__ import annotations

import socket


def free_port() -> int:
    """A port of the loopback that nobody has."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
