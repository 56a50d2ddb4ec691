"""How long pods may start, how they are asked, and how they leave. Seconds throughout."""

from __future__ import annotations

from modelberth.decision import Decision
from modelberth.engines.base import Probe, Probes

LEAVE_ENDPOINTS_S = 15
"""Until every proxy and kube-proxy has taken a pod out of its endpoints: new requests still arrive before."""

EXIT_S = 15
"""From the last request to the end of the process."""

OUTLAST_S = LEAVE_ENDPOINTS_S + 120
"""Seconds before the signal to stop, for servers that do not finish their requests after it: requests get their time
before. What runs longer is cut off. A busy llama-server (b10434, b11434) hangs, Ollama (0.32 to 0.34) closes every
connection, trtllm-serve (1.2) stops its workers."""

STARTUP_PERIOD_S = 10


def http_probes(path: str, decision: Decision, *, live: str | None = None) -> Probes:
    """Probes of a server whose ``path`` answers 200 when its model is loaded, and needs no API key.

    ``live`` is the path that a busy server answers too; default: the same.
    """
    return Probes(
        startup=Probe(path=path, period_s=STARTUP_PERIOD_S, failures=startup_failures(decision)),
        readiness=Probe(path=path, period_s=5, failures=2),
        liveness=Probe(path=live or path, period_s=30, timeout_s=10, failures=5),
    )


def startup_failures(decision: Decision, period_s: int = STARTUP_PERIOD_S) -> int:
    """Failures until a pod has used up its start-up budget."""
    return -(-decision.startup_budget_s // period_s)
