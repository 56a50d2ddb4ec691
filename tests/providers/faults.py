"""What goes wrong on purpose, and how each cloud says it."""

from __future__ import annotations

import os
import signal

MESSAGES = {
    "gcp": {
        "error": "googleapi: Error 500: Internal error encountered., backendError",
        "throttle": "googleapi: Error 429: Quota exceeded for quota metric 'Requests per minute', rateLimitExceeded",
        "unavailable": "googleapi: Error 503: The service is currently unavailable., backendError",
        "permission": "googleapi: Error 403: Required permission is missing on the project or resource., forbidden",
        "quota": "googleapi: Error 403: Insufficient regional quota to satisfy request: resource GPUS, quotaExceeded",
        "stock-out": "GCE_STOCKOUT: the zone does not have enough resources available to fulfill the request",
        "timeout": "timeout while waiting for state to become 'DONE' (last state: 'RUNNING')",
    },
    "kubernetes": {
        "error": "Internal error occurred: the API server failed",
        "throttle": "the server has received too many requests and has asked us to try again later",
        "unavailable": "the server is currently unable to handle the request",
        "permission": "is forbidden: the identity cannot do that in this namespace",
        "quota": "is forbidden: exceeded quota",
        "stock-out": "timed out waiting to be Ready: 0/1 nodes are available: Insufficient nvidia.com/gpu",
        "timeout": "timed out waiting for the object to be Ready",
    },
    "aws": {
        "error": "api error InternalFailure: StatusCode: 500",
        "throttle": "api error ThrottlingException: Rate exceeded, StatusCode: 429",
        "unavailable": "api error ServiceUnavailable: StatusCode: 503",
        "permission": "api error AccessDenied: the identity is not authorized to perform this action, StatusCode: 403",
        "quota": "api error VcpuLimitExceeded: You have requested more vCPU capacity than your current vCPU limit",
        "stock-out": "InsufficientInstanceCapacity: there is not enough capacity of that type in the Availability Zone",
        "timeout": "timeout while waiting for state to become 'ACTIVE' (last state: 'CREATING')",
    },
}
REFUSING = frozenset({"error", "throttle", "unavailable", "permission", "quota"})
"""The cloud answers with an error and nothing has changed."""
HALF_DONE = frozenset({"stock-out", "timeout"})
"""The change was made, the answer is an error; a new object exists and is in the engine's state."""
CRASHES = frozenset({"crash-before", "crash-after", "kill-engine-before", "kill-engine-after"})
"""The provider dies, or the engine and the provider with it, before or after the cloud changed; no answer comes."""
KINDS = REFUSING | HALF_DONE | CRASHES


def crash(kind: str) -> None:
    """End this process at once and, where the kind says so, the engine that started it first."""
    if kind.startswith("kill-engine"):
        os.kill(os.getppid(), signal.SIGKILL)
    os._exit(1)
