"""A hand-written Deployment whose context length is only known after apply."""

import pulumi
import pulumi_kubernetes as k8s

provider = k8s.Provider("rendered", render_yaml_to_directory="rendered")
quota = k8s.core.v1.ConfigMap("settings", data={"context": "8192"}, opts=pulumi.ResourceOptions(provider=provider))
k8s.apps.v1.Deployment(
    "server",
    spec={
        "selector": {"matchLabels": {"app": "server"}},
        "template": {
            "metadata": {"labels": {"app": "server"}},
            "spec": {
                "nodeSelector": {"cloud.google.com/gke-accelerator": "nvidia-l4"},
                "containers": [
                    {
                        "name": "vllm",
                        "image": "vllm/vllm-openai:v0.33.0",
                        "args": ["meta-llama/Llama-3.1-8B-Instruct", "--max-model-len", quota.id],
                        "resources": {"limits": {"nvidia.com/gpu": "1"}},
                    }
                ],
            },
        },
    },
    opts=pulumi.ResourceOptions(provider=provider),
)
