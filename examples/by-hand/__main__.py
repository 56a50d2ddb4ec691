"""The parts composed by hand: a network and a bucket of one's own, a pool that two services share, two clouds."""

import network
import pulumi
import pulumi_gcp as gcp

from modelberth.components import GpuNodePool, LLMService, WeightStore
from modelberth.components.targets.eks import EksCluster
from modelberth.components.targets.gke import GkeCluster

PROJECT, REGION, ZONES = "example-dev", "us-central1", ["us-central1-a", "us-central1-b"]
LLAMA = {"id": "meta-llama/Llama-3.1-8B-Instruct", "revision": "0e9e39f249a16976918f6564b8830bc894c89659"}
QWEN = {"id": "Qwen/Qwen2.5-7B-Instruct", "revision": "a09a35458c702b33eeacc393d103063234e8bc28"}
LOAD = {"context": 8192, "concurrency": 8, "typical_tokens": 3000, "engine": "vllm"}
BILLING = {"owner": "platform", "cost-center": "research"}

google = gcp.Provider("google", project=PROJECT, region=REGION)
bucket = gcp.storage.Bucket(
    "models",
    name=f"{PROJECT}-by-hand-models",
    location=REGION.upper(),
    uniform_bucket_level_access=True,
    public_access_prevention="enforced",
    versioning=gcp.storage.BucketVersioningArgs(enabled=True),
    labels={**BILLING, "env": pulumi.get_stack(), "model": "several"},
    opts=pulumi.ResourceOptions(provider=google, protect=True, retain_on_delete=True),
)

# Google's cloud: two models on the nodes of one pool, their weights in one bucket.
gke = GkeCluster(
    "google",
    {
        "gke": {
            "project": PROJECT,
            "project_number": "123456789012",
            "region": REGION,
            "zones": ZONES,
            "deletion_protection": False,
        },
        "namespace": "models",
        "billing": BILLING,
    },
    network=network.make(REGION, google),
)
l4 = GpuNodePool(
    "google-l4", {"accelerators": ["nvidia-l4"], "machine_types": ["g2-standard-8"], "max_nodes": 3}, target=gke
)
models = WeightStore("google-models", {"kind": "stream"}, target=gke, bucket=bucket.name)
llama = LLMService("llama", {"model": LLAMA, "token": {"secret": "hub"}, **LOAD}, target=gke, pool=l4, weights=models)
qwen = LLMService("qwen", {"model": QWEN, **LOAD}, target=gke, pool=l4, weights=models)

# Amazon's cloud: the first of them again.
eks = EksCluster(
    "amazon",
    {
        "eks": {
            "account": "123456789012",
            "region": "us-east-1",
            "zones": ["us-east-1a", "us-east-1b"],
            "administrators": ["arn:aws:iam::123456789012:role/deployer"],
            "callers": ["198.51.100.0/24"],
            "deletion_protection": False,
        },
        "namespace": "elsewhere",
        "billing": BILLING,
    },
)
l40s = GpuNodePool(
    "amazon-l40s", {"accelerators": ["nvidia-l40s"], "machine_types": ["g6e.xlarge"], "max_nodes": 2}, target=eks
)
elsewhere = LLMService(
    "llama-elsewhere",
    {"model": LLAMA, "token": {"secret": "hub"}, **LOAD},
    target=eks,
    pool=l40s,
    weights=WeightStore("amazon-models", {"kind": "stream"}, target=eks),
)

for name, service in {"llama": llama, "qwen": qwen, "llama-elsewhere": elsewhere}.items():
    pulumi.export(name, {"endpoint": service.endpoint, "usd_per_hour": service.usd_per_hour})
