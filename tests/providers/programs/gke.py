"""A private GKE cluster with a system and a GPU pool, a bucket and who may read it, in plain pulumi-gcp."""

import json
import pathlib

import pulumi
import pulumi_gcp as gcp

c = gcp.container
PROJECT, REGION, ZONE = "demo-project", "us-central1", "us-central1-a"
settings = json.loads(pathlib.Path(__file__).with_name("settings.json").read_text())
mark = f"{pulumi.get_project()}-{pulumi.get_stack()}"
google = gcp.Provider(
    "google",
    project=PROJECT,
    region=REGION,
    default_labels={"modelberth-stack": mark},
    access_token=pulumi.Output.secret(settings["token"]) if "token" in settings else None,
)
opts = pulumi.ResourceOptions(provider=google)


def with_opts(**more):
    return pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(**more))


network = gcp.compute.Network(
    "llm", description=f"modelberth-stack={mark}", auto_create_subnetworks=False, mtu=8896, opts=opts
)
subnet = gcp.compute.Subnetwork(
    "llm",
    network=network.id,
    ip_cidr_range="10.0.0.0/20",
    secondary_ip_ranges=[
        gcp.compute.SubnetworkSecondaryIpRangeArgs(range_name="pods", ip_cidr_range="10.16.0.0/14"),
        gcp.compute.SubnetworkSecondaryIpRangeArgs(range_name="services", ip_cidr_range="10.20.0.0/20"),
    ],
    opts=opts,
)
nodes = gcp.serviceaccount.Account(
    "nodes", account_id="llm-gke-nodes", description=f"modelberth-stack={mark}", opts=opts
)
gcp.projects.IAMMember(
    "nodes", project=PROJECT, role="roles/container.defaultNodeServiceAccount", member=nodes.member, opts=opts
)
cluster = c.Cluster(
    "llm",
    location=REGION,
    network=network.id,
    subnetwork=subnet.id,
    networking_mode="VPC_NATIVE",
    ip_allocation_policy=c.ClusterIpAllocationPolicyArgs(
        cluster_secondary_range_name="pods", services_secondary_range_name="services"
    ),
    datapath_provider="ADVANCED_DATAPATH",
    remove_default_node_pool=True,
    initial_node_count=1,
    deletion_protection=settings.get("deletion_protection", False),
    release_channel=c.ClusterReleaseChannelArgs(channel="REGULAR"),
    workload_identity_config=c.ClusterWorkloadIdentityConfigArgs(workload_pool=f"{PROJECT}.svc.id.goog"),
    opts=opts,
)
system = c.NodePool(
    "system",
    cluster=cluster.id,
    autoscaling=c.NodePoolAutoscalingArgs(
        total_min_node_count=1, total_max_node_count=settings.get("system_nodes", 3), location_policy="BALANCED"
    ),
    node_config=c.NodePoolNodeConfigArgs(machine_type="n4-standard-8", service_account=nodes.email),
    opts=with_opts(parent=cluster),
)
gpu = c.NodePool(
    "l4",
    name=settings.get("pool_name"),
    cluster=cluster.id,
    node_locations=[ZONE],
    autoscaling=c.NodePoolAutoscalingArgs(
        total_min_node_count=0, total_max_node_count=settings.get("nodes", 2), location_policy="ANY"
    ),
    upgrade_settings=c.NodePoolUpgradeSettingsArgs(strategy="SURGE", max_surge=0, max_unavailable=1),
    node_config=c.NodePoolNodeConfigArgs(
        machine_type="g2-standard-8",
        service_account=nodes.email,
        spot=settings.get("spot"),
        guest_accelerators=[
            c.NodePoolNodeConfigGuestAcceleratorArgs(
                type=settings.get("accelerator", "nvidia-l4"),
                count=1,
                gpu_driver_installation_config=c.NodePoolNodeConfigGuestAcceleratorGpuDriverInstallationConfigArgs(
                    gpu_driver_version="LATEST"
                ),
            )
        ],
        labels={"pool": settings.get("label", "l4")},
    ),
    opts=with_opts(parent=cluster, depends_on=[system]),
)
bucket = gcp.storage.Bucket(
    "weights",
    location=REGION,
    uniform_bucket_level_access=True,
    public_access_prevention="enforced",
    opts=with_opts(protect=settings.get("protect", False)),
)
gcp.storage.BucketIAMMember(
    "reader",
    bucket=bucket.name,
    role="roles/storage.objectViewer",
    member="principal://iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/"
    f"{PROJECT}.svc.id.goog/subject/ns/llm/sa/vllm",
    opts=opts,
)
pulumi.export("endpoint", cluster.endpoint)
pulumi.export("bucket", bucket.url)
pulumi.export("groups", gpu.instance_group_urls)
pulumi.export("taints", gpu.node_config.apply(lambda config: [taint.key for taint in config.effective_taints]))
