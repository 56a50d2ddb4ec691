"""The embedded cluster: a real Kubernetes control plane on loopback ports, with simulated nodes.

The API server, the scheduler, the controllers and etcd are the real ones; nodes and the pods on them are simulated by
kwok: they take their time, report their state, and compute nothing. Linux only: processes are told apart by /proc.
"""

from toolchain.cluster.control import Cluster, down, up
from toolchain.cluster.errors import ClusterError
from toolchain.cluster.report import Status, status

__all__ = ["Cluster", "ClusterError", "Status", "down", "status", "up"]
