"""Examples of the rules about formats."""

from __future__ import annotations

from typing import Any

from modelberth.observed import UNKNOWN
from tests.rules.cases import Case
from tests.rules.samples import GKE, LLAMA_8B, QWEN_7B, deployment, gguf, llamacpp, ollama, sglang, tgi, vllm

T4 = {"nodeSelector": {GKE: "nvidia-tesla-t4"}}
A100 = {"nodeSelector": {GKE: "nvidia-tesla-a100"}}
B200 = {"nodeSelector": {GKE: "nvidia-b200"}}
V100 = {"nodeSelector": {GKE: "nvidia-tesla-v100"}}
L4 = {"nodeSelector": {GKE: "nvidia-l4"}}
AWQ = "Qwen/Qwen2.5-7B-Instruct-AWQ"


def qwen(*args: Any, **more: Any) -> dict[str, Any]:
    return vllm("--model", QWEN_7B, "--max-model-len", "2048", *args, **more)


def stock(container: dict[str, Any], **pod: Any) -> tuple[dict[str, Any], ...]:
    return (deployment(container, **pod),)


def hub(repository: str, **more: Any) -> dict[str, Any]:
    return llamacpp("--hf-repo", repository, "--ctx-size", "4096", **more)


CASES = (
    # --- SZ-09 GPU x format
    Case(
        "SZ-09",
        "an explicit bfloat16 stops on a T4",
        stock(qwen("--dtype", "bfloat16"), pod=T4),
        red="vLLM does not load bf16 on NVIDIA T4: bfloat16 needs compute capability 8.0",
    ),
    Case(
        "SZ-09",
        "an explicit bfloat16 stops also with 4-bit weights",
        stock(vllm("--model", AWQ, "--dtype", "bfloat16", "--max-model-len", "2048"), pod=T4),
        red="bfloat16 needs compute capability 8.0, NVIDIA T4 has 7.5",
    ),
    Case(
        "SZ-09",
        "a type that is only known after apply is another rule's doubt",
        stock(qwen("--dtype", UNKNOWN), pod=T4),
    ),
    Case("SZ-09", "float16 is served on a T4", stock(qwen("--dtype", "half"), pod=T4)),
    Case(
        "SZ-09",
        "a type that is left to the engine is float16 on a T4",
        stock(qwen(), pod=T4),
        red="bfloat16 weights are served as float16 on NVIDIA T4",
        advice=True,
    ),
    Case(
        "SZ-09",
        "SGLang takes float16 whatever it is told",
        stock(sglang("--model-path", QWEN_7B, "--dtype", "bfloat16", "--context-length", "2048"), pod=T4),
        red="served as float16",
        advice=True,
    ),
    Case("SZ-09", "bfloat16 is served from compute capability 8.0 on", stock(qwen("--dtype", "bfloat16"), pod=A100)),
    Case(
        "SZ-09",
        "a StatefulSet is judged alike",
        (deployment(qwen("--dtype", "bfloat16"), kind="StatefulSet", pod=T4),),
        red="does not load bf16",
    ),
    Case(
        "SZ-09",
        "a bare Pod is judged alike",
        ({"kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [qwen("--dtype", "bfloat16")], **T4}},),
        red="does not load bf16",
    ),
    Case(
        "SZ-09",
        "a model that nobody knows stops all the same",
        stock(vllm("--model", "acme/private-model", "--dtype", "bfloat16"), pod=T4),
        red="does not load bf16",
    ),
    Case(
        "SZ-09",
        "fp8 on an A100 is only stored",
        stock(qwen("--quantization", "fp8"), pod=A100),
        red="fp8 on NVIDIA A100 40GB is weight-only",
        advice=True,
    ),
    Case("SZ-09", "fp8 on an L4 is computed", stock(qwen("--quantization", "fp8"), pod=L4)),
    Case(
        "SZ-09",
        "awq is weight-only by design, which is no news",
        stock(vllm("--model", AWQ, "--max-model-len", "2048"), pod=A100),
    ),
    Case(
        "SZ-09",
        "an fp8 cache stops on a T4",
        stock(qwen("--dtype", "half", "--kv-cache-dtype", "fp8"), pod=T4),
        red="vLLM has no fp8 KV cache on NVIDIA T4",
    ),
    Case("SZ-09", "an fp8 cache is read on an A100", stock(qwen("--kv-cache-dtype", "fp8"), pod=A100)),
    Case(
        "SZ-09",
        "vLLM has no kernels for a V100",
        stock(qwen("--dtype", "half"), pod=V100),
        red="vLLM does not run on NVIDIA V100",
    ),
    Case(
        "SZ-09",
        "an unknown accelerator is another rule's doubt",
        stock(qwen("--dtype", "bfloat16"), pod={"nodeSelector": {GKE: UNKNOWN}}),
    ),
    # --- SZ-10 engine x format
    Case(
        "SZ-10",
        "gemma in float16 stops on every GPU",
        stock(vllm("--model", "google/gemma-3-4b-it", "--dtype", "half", "--max-model-len", "2048"), pod=L4),
        red="vLLM refuses float16 for this architecture",
    ),
    Case(
        "SZ-10",
        "gemma in bfloat16 is served",
        stock(vllm("--model", "google/gemma-3-4b-it", "--max-model-len", "2048"), pod=L4),
    ),
    Case(
        "SZ-10",
        "bitsandbytes needs a plugin",
        stock(qwen("--quantization", "bitsandbytes")),
        red="needs a plugin that the stock image of vLLM 0.33.0 lacks",
    ),
    Case(
        "SZ-10",
        "an image of one's own may have the plugin",
        stock(qwen("--quantization", "bitsandbytes", image="acme/vllm-openai:v0.33.0")),
        red="needs a plugin",
        advice=True,
    ),
    Case(
        "SZ-10",
        "the stock image behind a registry prefix is still the stock image",
        stock(qwen("--quantization", "bitsandbytes", image="mirror.local/hub/vllm/vllm-openai:v0.33.0")),
        red="needs a plugin",
    ),
    Case(
        "SZ-10",
        "a GGUF repository needs a plugin since 0.24",
        stock(vllm("--model", "bartowski/Qwen2.5-7B-Instruct-GGUF", "--max-model-len", "2048")),
        red="GGUF left vLLM's stock image in 0.24",
    ),
    Case(
        "SZ-10",
        "a format that nobody knows",
        stock(qwen("--quantization", "int3")),
        red="--quantization names what vLLM 0.33.0 does not know",
    ),
    Case("SZ-10", "a format that the engine knows and that is not sized", stock(qwen("--quantization", "quark"))),
    Case(
        "SZ-10",
        "a version whose words were not read is not judged",
        stock(qwen("--quantization", "int3", image="vllm/vllm-openai:v0.99.0")),
    ),
    Case(
        "SZ-10",
        "a deprecated format needs a flag",
        stock(qwen("--quantization", "fbgemm_fp8")),
        red="only with --allow-deprecated-quantization",
    ),
    Case(
        "SZ-10",
        "a deprecated format with that flag",
        stock(qwen("--quantization", "fbgemm_fp8", "--allow-deprecated-quantization")),
    ),
    Case(
        "SZ-10", "a misspelled type", stock(qwen("--dtype", "bf16")), red="--dtype names what vLLM 0.33.0 does not know"
    ),
    Case(
        "SZ-10",
        "a cache type of another engine",
        stock(qwen("--kv-cache-dtype", "q8_0")),
        red="--kv-cache-dtype names what",
    ),
    Case(
        "SZ-10",
        "another format than the checkpoint's",
        stock(vllm("--model", AWQ, "--quantization", "gptq", "--max-model-len", "2048")),
        red="the checkpoint is stored in awq, the arguments say gptq",
    ),
    Case(
        "SZ-10",
        "the checkpoint's own format in another spelling",
        stock(vllm("--model", AWQ, "--quantization", "awq_marlin", "--max-model-len", "2048")),
    ),
    Case(
        "SZ-10",
        "awq of a 16-bit checkpoint",
        stock(qwen("--quantization", "awq")),
        red="the checkpoint holds 16-bit weights, and awq is not made while loading",
    ),
    Case("SZ-10", "fp8 is made of a 16-bit checkpoint while loading", stock(qwen("--quantization", "fp8"))),
    Case(
        "SZ-10",
        "SGLang refuses a word that it does not know",
        stock(sglang("--model-path", LLAMA_8B, "--quantization", "int3")),
        red="names what SGLang 0.5.23",
    ),
    Case(
        "SZ-10",
        "SGLang looks for the checkpoint's own configuration",
        stock(sglang("--model-path", LLAMA_8B, "--quantization", "gptq")),
        red="gptq is not made while loading",
    ),
    Case("SZ-10", "TGI has formats of its own", stock(tgi("--quantize", "mxfp4")), red="--quantize names what"),
    Case(
        "SZ-10",
        "a safetensors file in llama.cpp",
        stock(llamacpp("--model", "/weights/model.safetensors"), pod={}),
        red="llama.cpp reads GGUF files, and the model's file is none",
    ),
    Case(
        "SZ-10",
        "a safetensors repository in llama.cpp",
        stock(hub(LLAMA_8B), pod={}),
        red="the repository holds safetensors",
    ),
    Case("SZ-10", "an awq repository in llama.cpp", stock(hub(AWQ), pod={}), red="the repository holds safetensors"),
    Case("SZ-10", "a GGUF repository in llama.cpp", stock(hub("bartowski/Qwen2.5-7B-Instruct-GGUF:Q4_K_M"), pod={})),
    Case("SZ-10", "a repository that nobody knows in llama.cpp", stock(hub("acme/model-GGUF"), pod={})),
    Case("SZ-10", "a GGUF file in llama.cpp", stock(llamacpp(*gguf(), "--ctx-size", "4096"), pod={})),
    Case("SZ-10", "Ollama pulls GGUF", stock(ollama(), pod={})),
    Case(
        "SZ-10",
        "Ollama pulls no safetensors",
        stock(
            ollama() | {"lifecycle": {"postStart": {"exec": {"command": ["ollama", "pull", f"hf.co/{AWQ}"]}}}}, pod={}
        ),
        red="the repository holds safetensors",
    ),
    Case(
        "SZ-10",
        "a format that is only known after apply is another rule's doubt",
        stock(qwen("--quantization", UNKNOWN)),
    ),
    Case(
        "SZ-10",
        "the format is refused whatever the GPU",
        stock(vllm("--model", "bartowski/Qwen2.5-7B-Instruct-GGUF"), pod={}),
        red="GGUF left vLLM's stock image",
    ),
)
