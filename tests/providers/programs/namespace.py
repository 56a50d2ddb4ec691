"""A cluster of each cloud and a namespace in it, reached as kubeconfigs reach them."""

import json
import pathlib

import pulumi
import pulumi_aws as aws
import pulumi_gcp as gcp
import pulumi_kubernetes as k8s

settings = json.loads(pathlib.Path(__file__).with_name("settings.json").read_text())


def kubeconfig(server, user, authority=None):
    trusted = {"certificate-authority-data": authority} if authority else {}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "it",
            "clusters": [{"name": "it", "cluster": {"server": server, **trusted}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
            "users": [
                {
                    "name": "it",
                    "user": {
                        "exec": {
                            "apiVersion": "client.authentication.k8s.io/v1beta1",
                            "interactiveMode": "Never",
                            **user,
                        }
                    },
                }
            ],
        }
    )


google = pulumi.ResourceOptions(provider=gcp.Provider("google", project="demo-project", region="us-central1"))
gke = gcp.container.Cluster("gke", location="us-central1", initial_node_count=1, deletion_protection=False, opts=google)
dns = gke.control_plane_endpoints_config.apply(lambda config: config.dns_endpoint_config.endpoint)
by_dns = dns.apply(lambda host: kubeconfig(f"https://{host}", {"command": "gke-gcloud-auth-plugin"}))

amazon = pulumi.ResourceOptions(provider=aws.Provider("amazon", region="us-east-1", skip_requesting_account_id=True))
role = aws.iam.Role("cluster", assume_role_policy="{}", opts=amazon)
vpc = aws.ec2.Vpc("llm", cidr_block="10.64.0.0/16", opts=amazon)
subnets = [
    aws.ec2.Subnet(f"s{z}", vpc_id=vpc.id, availability_zone=f"us-east-1{z}", cidr_block=f"10.64.{n}.0/24", opts=amazon)
    for n, z in enumerate("ab")
]
eks = aws.eks.Cluster(
    "eks",
    role_arn=role.arn,
    vpc_config=aws.eks.ClusterVpcConfigArgs(subnet_ids=[each.id for each in subnets]),
    opts=amazon,
)
login = {"command": "aws", "args": ["eks", "get-token", "--cluster-name", "eks"]}
by_certificate = pulumi.Output.all(eks.endpoint, eks.certificate_authority.data).apply(
    lambda found: kubeconfig(found[0], login, found[1])
)
for name, config in (("gke", by_dns), ("eks", by_certificate)):
    provider = k8s.Provider(name, kubeconfig=config, cluster_identifier=name)
    k8s.core.v1.Namespace(
        name,
        metadata=k8s.meta.v1.ObjectMetaArgs(name=f"{settings['namespace']}-{name}"),
        opts=pulumi.ResourceOptions(provider=provider),
    )
