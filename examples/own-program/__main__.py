"""The components in a program of one's own: a cluster that exists, and a model on it."""

import pulumi

from modelberth.components import ExistingCluster, GpuNodePool, LLMService

settings = pulumi.Config()
cluster = ExistingCluster(
    "cluster",
    {"kubeconfig": settings.require("kubeconfig"), "namespace": settings.require("namespace"), "node_labels": "gcp"},
)
l4 = GpuNodePool(
    "l4", {"accelerators": ["nvidia-l4"], "machine_types": ["g2-standard-8"], "max_nodes": 2}, target=cluster
)
chat = LLMService(
    "chat",
    {"model": {"id": "Qwen/Qwen2.5-7B-Instruct"}, "context": 8192, "concurrency": 4},
    target=cluster,
    pool=l4,
)
pulumi.export("endpoint", chat.endpoint)
pulumi.export("usd_per_hour", chat.usd_per_hour)
