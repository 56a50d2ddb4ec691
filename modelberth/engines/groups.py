"""Pods of a replica that several nodes hold, as LeaderWorkerSet starts them.

It puts these variables first into every container of a group (sigs.k8s.io/lws v0.7.0, pkg/utils/pod/pod_utils.go,
``AddLWSVariables``), so that Kubernetes expands references to them in arguments.
"""

from __future__ import annotations

LEADER_ADDRESS = "$(LWS_LEADER_ADDRESS)"
"""DNS name of the first pod of the group; it resolves before that pod is ready."""

WORKER_INDEX = "$(LWS_WORKER_INDEX)"
"""0 for the first pod, 1 and up for the others."""

POD_IP = "status.podIP"
"""Field of a pod that holds its own address."""
