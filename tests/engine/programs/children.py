"""The guide's Deployment as text of a ConfigGroup, from a chart whose objects are resources, and inside a release."""

import pulumi
import pulumi_kubernetes as kubernetes
from pulumi_kubernetes.helm.v3 import Chart, LocalChartOpts

rendered = pulumi.ResourceOptions(provider=kubernetes.Provider("rendered", render_yaml_to_directory="rendered"))
kubernetes.yaml.v2.ConfigGroup("group", files=["chart/plain.yaml"], opts=rendered)
kubernetes.helm.v4.Chart("chart4", chart="./chart", opts=rendered)
Chart("chart3", LocalChartOpts(path="./chart"), opts=rendered)
values = {"server": {"image": "vllm/vllm-openai", "tag": "v0.33.0"}}
kubernetes.helm.v3.Release("release", chart="./chart", values=values, opts=rendered)
