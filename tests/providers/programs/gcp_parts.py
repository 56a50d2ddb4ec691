"""Everything of Google's cloud that stacks are made of and programs/gke.py has not, and a cluster that is there."""

import json
import pathlib

import pulumi
import pulumi_gcp as gcp

settings = json.loads(pathlib.Path(__file__).with_name("settings.json").read_text())
team = settings.get("team", "llm")
provider = gcp.Provider("google", project="demo-project", region="us-central1")
opts = pulumi.ResourceOptions(provider=provider)
number = gcp.organizations.get_project(project_id="demo-project", opts=pulumi.InvokeOptions(provider=provider)).number

network = gcp.compute.Network("llm", auto_create_subnetworks=False, opts=opts)
router = gcp.compute.Router("llm", network=network.id, opts=opts)
gcp.compute.RouterNat(
    "llm",
    router=router.name,
    nat_ip_allocate_option="AUTO_ONLY",
    source_subnetwork_ip_ranges_to_nat="ALL_SUBNETWORKS_ALL_IP_RANGES",
    opts=opts,
)
gcp.compute.Firewall(
    "llm",
    network=network.id,
    description=team,
    source_ranges=["10.0.0.0/20"],
    allows=[gcp.compute.FirewallAllowArgs(protocol="tcp", ports=["8000"])],
    opts=opts,
)
gcp.compute.ResourcePolicy(
    "llm",
    group_placement_policy=gcp.compute.ResourcePolicyGroupPlacementPolicyArgs(collocation="COLLOCATED"),
    opts=opts,
)
ring = gcp.kms.KeyRing("llm", name=settings["ring"], location="us-central1", opts=opts)
key = gcp.kms.CryptoKey("llm", key_ring=ring.id, rotation_period="7776000s", labels={"team": team}, opts=opts)
granted = gcp.kms.CryptoKeyIAMMember(
    "llm",
    crypto_key_id=key.id,
    role="roles/cloudkms.cryptoKeyEncrypterDecrypter",
    member=f"serviceAccount:service-{number}@gs-project-accounts.iam.gserviceaccount.com",
    opts=opts,
)
reader = gcp.projects.IAMCustomRole(
    "llm", role_id=settings["role"], title=team, permissions=["storage.objects.get", "storage.objects.list"], opts=opts
)
bucket = gcp.storage.Bucket(
    "weights",
    location="us-central1",
    uniform_bucket_level_access=True,
    hierarchical_namespace=gcp.storage.BucketHierarchicalNamespaceArgs(enabled=True),
    encryption=gcp.storage.BucketEncryptionArgs(default_kms_key_name=key.id),
    labels={"team": team},
    opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=[granted])),
)
gcp.storage.BucketIAMMember("llm", bucket=bucket.name, role=reader.name, member="user:a@example.com", opts=opts)
gcp.storage.AnywhereCache("llm", bucket=bucket.name, zone="us-central1-a", ttl="86400s", opts=opts)
found = gcp.container.Cluster.get("found", "projects/demo-project/locations/us-central1/clusters/found", opts=opts)
gcp.container.NodePool("llm", cluster=found.id, initial_node_count=1, opts=opts)
pulumi.export("number", number)
pulumi.export("endpoint", found.endpoint)
