"""Credentials in plain sight. Every one here is made up."""

from __future__ import annotations

from typing import Any

from modelberth.observed import UNKNOWN
from tests.rules.cases import Case
from tests.rules.pods import bare, ours, server, workload
from tests.rules.samples import CANARY, LLAMA_8B, vllm

KEY = "sk-CANARY7f3a9b2c4d5e6f70"
MODEL = ("--model", LLAMA_8B)
WORDS = ("tokenizer", "chat-template", "served-model-name", "max-num-batched-tokens", "ssl-keyfile")


def variable(name: Any, value: Any) -> dict[str, Any]:
    return bare(vllm(env=[{"name": name, "value": value}]))


def arguments(*words: Any) -> dict[str, Any]:
    return bare(vllm(*MODEL, *words))


def config(kind: str = "ConfigMap", **data: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": "settings"}, "data": data}


def script(text: str) -> dict[str, Any]:
    return bare(vllm(command=["bash", "-c", text], args=None))


def _last_applied(text: str) -> dict[str, Any]:
    annotations = {"kubectl.kubernetes.io/last-applied-configuration": text}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hub", "annotations": annotations}}


INNOCENT = {
    "HF_TOKEN": "$(HUB_TOKEN)",
    "HF_TOKEN_PATH": "/var/run/secrets/hub/token",
    "HF_TOKEN_FILE": "/var/run/secrets/hub/token",
    "VLLM_API_KEY": "",
    "OPENAI_API_KEY": "EMPTY",
    "LITELLM_API_KEY": "sk-no-key-required",
    "SOME_API_KEY": "<your-api-key>",
    "OTHER_API_KEY": "changeme",
    "API_KEY": "${API_KEY}",
    "TOKENIZERS_PARALLELISM": "false",
    "MAX_TOKENS": "4096",
    "EOS_TOKEN": "<|eot_id|>",
    "PAD_TOKEN": "pad",
    "SSH_PUBLIC_KEY": "AAAAC3NzaC1lZDI1NTE5AAAAIJ7y",
    "AWS_SECRET_ACCESS_KEY": "vault:secret/data/aws#key",
    "CACHE_KEY": "prefix-cache-0a1b2c3d4e5f6a7b",
    "PULL_SECRET": "registry-credentials",
    "REVISION": "a09a35458c702b33eeacc393d103063234e8bc28",
    "DISK": "disk-a1b2c3d4e5f6a7b8",
    "HF_HUB_ENABLE_HF_TRANSFER": "hf_transfer",
    "TOKEN": 5,
}
PLAIN: dict[str, tuple[str, Any]] = {
    "the hub": ("HF_TOKEN", CANARY),
    "the hub under any name": ("ANYTHING", CANARY),
    "the API": ("VLLM_API_KEY", "correcthorse"),
    "a password": ("DB_PASSWORD", "Tr0ub4dor"),
    "AWS": ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCY"),
    "a key by chance": ("SERVICE_KEY", "9f8e7d6c5b4a39281706"),
    "an address": ("DATABASE_URL", "postgres://app:s3cretpw@db:5432/app"),
    "flags in a variable": ("EXTRA_ARGS", f"--api-key {KEY}"),
}
SCRIPTS = {
    "a flag": f"exec vllm serve {LLAMA_8B} --api-key abcd1234",
    "an assignment": f"export HF_TOKEN=abcd1234abcd; exec vllm serve {LLAMA_8B}",
    "a header": "curl -H 'Authorization: Bearer 0a9f8e7d6c5b4a3f2e1d' http://localhost:8000/v1/models",
}
HARMLESS_SCRIPTS = {
    "a reference": f'export HF_TOKEN="$(cat /run/token)"; exec vllm serve {LLAMA_8B} --api-key "$KEY"',
    "a header that is filled in": "printf 'Authorization: Bearer %s' \"$(cat /run/token)\" > /tmp/header",
    "code": "python3 -c 'import os; api_key=os.environ[\"API_KEY\"]; token=None; password=read_password()'",
}

CASES: tuple[Case, ...] = (
    Case("WH-15", "a server without a credential passes", (workload(), ours())),
    *(
        Case("WH-15", f"a literal for {what} is found", (variable(*seen),), "in plain sight")
        for what, seen in PLAIN.items()
    ),
    *(Case("WH-15", f"{name} may hold what it holds", (variable(name, value),)) for name, value in INNOCENT.items()),
    *(
        Case("WH-15", f"a script with {what} is found", (script(text),), "the command line holds a credential")
        for what, text in SCRIPTS.items()
    ),
    *(Case("WH-15", f"a script with {what} passes", (script(text),)) for what, text in HARMLESS_SCRIPTS.items()),
    *(Case("WH-15", f"--{word} is no credential", (arguments(f"--{word}", "abcd1234abcd5678"),)) for word in WORDS),
    *(
        Case("WH-15", f"{flag} with a value is found", (arguments(flag, "abcd1234"),), "args[3]")
        for flag in ("--api-key", "--hf-token", "--hf_token", "--admin-api-key", "--ssl-keyfile-password")
    ),
    Case("WH-15", "a flag and its value in one word are found", (arguments("--api-key=abcd1234"),), "args[2]"),
    Case("WH-15", "a switch before another flag passes", (arguments("--hf-token", "--enforce-eager"),)),
    Case("WH-15", "a reference behind a flag passes", (arguments("--api-key", "$(VLLM_API_KEY)"),)),
    Case(
        "WH-15",
        "a reference to a Secret passes",
        (bare(vllm(env=[{"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hub", "key": "token"}}}])),),
    ),
    Case(
        "WH-15",
        "a reference that is not known yet passes",
        (bare(vllm(env=[{"name": "HF_TOKEN", "valueFrom": UNKNOWN}])),),
    ),
    Case(
        "WH-15",
        "an unknown variable with the name of a credential is a doubt",
        (variable("HF_TOKEN", UNKNOWN),),
        "cannot decide whether the variable holds a credential in plain sight",
        undecided=True,
    ),
    Case("WH-15", "an unknown variable with another name passes", (variable("MODEL", UNKNOWN),)),
    Case(
        "WH-15",
        "an unknown word behind --api-key is a doubt",
        (arguments("--api-key", UNKNOWN),),
        "cannot decide whether the command line holds a credential",
        undecided=True,
    ),
    Case(
        "WH-15",
        "a sidecar and an init container are read too",
        (
            workload(
                server(), {"name": "proxy", "image": "x:1", "env": [{"name": "A", "value": KEY}]}, initContainers=[]
            ),
        ),
        "containers[1].env[0].value: the variable holds an API key",
    ),
    Case(
        "WH-15",
        "an init container is read",
        (workload(server(), initContainers=[{"name": "get", "args": ["login", "--token", CANARY]}]),),
        "initContainers[0].args[2]",
    ),
    Case(
        "WH-15",
        "a probe's command is read",
        (workload(server(readinessProbe={"exec": {"command": ["curl", "-H", f"Authorization: Bearer {KEY}"]}})),),
        "readinessProbe.exec.command[2]",
    ),
    Case(
        "WH-15",
        "a probe's header is read",
        (
            workload(
                server(
                    readinessProbe={"httpGet": {"httpHeaders": [{"name": "Authorization", "value": f"Bearer {KEY}"}]}}
                )
            ),
        ),
        "httpHeaders[0].value",
    ),
    *(
        Case(
            "WH-15",
            f"a {kind} is read",
            (workload(server(env=[{"name": "HF_TOKEN", "value": CANARY}]), kind=kind),),
            "env",
        )
        for kind in ("StatefulSet", "LeaderWorkerSet", "Job", "CronJob", "Pod")
    ),
    Case("WH-15", "an entry of a ConfigMap is read", (config(HF_TOKEN=CANARY),), "a ConfigMap hides nothing"),
    Case("WH-15", "an entry named like a credential is read", (config(**{"api-key": "abcd1234"}),), "data["),
    Case(
        "WH-15",
        "an unknown entry named like a credential is a doubt",
        (config(HF_TOKEN=UNKNOWN),),
        "cannot decide whether the entry holds a credential",
        undecided=True,
    ),
    Case("WH-15", "a ConfigMap that is not known yet passes", (config() | {"data": UNKNOWN},)),
    Case(
        "WH-15",
        "a file in a ConfigMap is read",
        (config(**{"config.yaml": f"model: x\napi_key: {KEY}\n"}),),
        "holds an API key in plain sight",
    ),
    Case(
        "WH-15",
        "a password in a file is read",
        (config(**{"config.yaml": 'user: x\npassword: "Tr0ub4dor19and3x"\n'}),),
        "holds a credential in plain sight",
    ),
    Case(
        "WH-15",
        "a file that names where a credential is passes",
        (config(**{"config.yaml": "password_file: /run/x\napi_key: ${KEY}\nmax_tokens: 5\npassword: string\n"}),),
    ),
    Case(
        "WH-15",
        "a private key is read",
        (config(**{"tls.key": "-----BEGIN RSA PRIVATE KEY-----\nx\n"}),),
        "a private key",
    ),
    Case("WH-15", "a certificate passes", (config(**{"ca.crt": "-----BEGIN CERTIFICATE-----\nx\n"}),)),
    Case("WH-15", "a Secret is where a credential belongs", (config(kind="Secret", HF_TOKEN=CANARY),)),
    Case(
        "WH-15",
        "the text of a Secret is where a credential belongs",
        ({"apiVersion": "v1", "kind": "Secret", "stringData": {"HF_TOKEN": CANARY}},),
    ),
    Case(
        "WH-15",
        "an annotation is read",
        ({"apiVersion": "v1", "kind": "Service", "metadata": {"annotations": {"example.com/token": CANARY}}},),
        "metadata.annotations",
    ),
    Case(
        "WH-15",
        "what kubectl left of a Secret is read",
        (_last_applied('{"kind": "Secret", "data": {"token": "aGZfeA=="}}'),),
        "repeats a credential",
    ),
    Case("WH-15", "what kubectl left of a Secret without data passes", (_last_applied('{"kind": "Secret"}'),)),
    Case(
        "WH-15",
        "a hash of a Secret passes",
        ({"apiVersion": "v1", "kind": "Service", "metadata": {"annotations": {"checksum/secret": "0a1b" * 16}}},),
    ),
    Case(
        "WH-15",
        "objects of any other kind are read",
        (
            {
                "apiVersion": "serving.kserve.io/v1beta1",
                "kind": "InferenceService",
                "spec": {"predictor": {"model": {"env": [{"name": "HF_TOKEN", "value": CANARY}]}}},
            },
        ),
        "spec.predictor.model.env[0].value",
    ),
    Case(
        "WH-15",
        "a field that is named like a credential is read",
        ({"apiVersion": "example.com/v1", "kind": "Gateway", "spec": {"apiToken": "0a9f8e7d6c5b4a3f2e1d"}},),
        "spec.apiToken: is named like a credential",
    ),
    *(
        Case(
            "WH-15",
            f"an unknown {what} that is named like a credential is a doubt",
            ({"apiVersion": "example.com/v1", "kind": "Gateway", **more},),
            "cannot decide whether the field holds a credential in plain sight",
            undecided=True,
        )
        for what, more in {
            "field": {"spec": {"apiToken": UNKNOWN}},
            "annotation": {"metadata": {"annotations": {"example.com/token": UNKNOWN}}},
        }.items()
    ),
    Case(
        "WH-15",
        "a key's name in a reference passes",
        (
            {
                "apiVersion": "example.com/v1",
                "kind": "Gateway",
                "spec": {"secretKey": "HF_TOKEN", "tokenSecret": "hub-a1"},
            },
        ),
    ),
    Case(
        "WH-15",
        "values of a chart become a Secret",
        (("kubernetes:helm.sh/v3:Release", {"values": {"hub": {"apiToken": "0a9f8e7d6c5b4a3f2e1d"}}}),),
    ),
    Case(
        "WH-15",
        "an unknown header of authorization is a doubt",
        (
            workload(
                server(readinessProbe={"httpGet": {"httpHeaders": [{"name": "Authorization", "value": UNKNOWN}]}}),
            ),
        ),
        "cannot decide whether the header holds a credential",
        undecided=True,
    ),
    Case("WH-15", "an access key of AWS is read", (config(id="AKIAIOSFODNN7EXAMPLE"),), "an access key of AWS"),
    Case("WH-15", "a token of GitHub is read", (config(x="ghp_" + "a1B2" * 9),), "a token of GitHub"),
    Case(
        "WH-15",
        "a key that counts passes",
        (workload(server("--api-key", "test-key-1234567890"), server("--api-key", "test-key-0987654321")),),
    ),
    Case("WH-15", "a token that documentation writes passes", (config(x="hf_XXXXXXXXXXXXXXXXXXXXXXXXXXXX"),)),
    Case(
        "WH-15",
        "variables that are computed are open",
        (bare(vllm(env=UNKNOWN)),),
        "whether the variables hold a credential",
        undecided=True,
    ),
    Case(
        "WH-15",
        "a variable that is computed is open",
        (bare(vllm(env=[UNKNOWN])),),
        "whether the variable holds",
        undecided=True,
    ),
)
