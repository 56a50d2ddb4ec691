"""A cluster, a pool and a bucket: as little as faults need."""

import json
import pathlib

import pulumi
import pulumi_gcp as gcp

settings = json.loads(pathlib.Path(__file__).with_name("settings.json").read_text())
opts = pulumi.ResourceOptions(provider=gcp.Provider("google", project="demo-project", region="us-central1"))
cluster = gcp.container.Cluster(
    "llm", location="us-central1", initial_node_count=1, deletion_protection=False, opts=opts
)
gcp.container.NodePool("system", cluster=cluster.id, initial_node_count=1, opts=opts)
if settings.get("bucket", True):
    gcp.storage.Bucket("weights", location="us-central1", labels={"step": settings.get("step", "one")}, opts=opts)
