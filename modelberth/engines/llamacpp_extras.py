"""What llama-server carries beside its model: adapters, drafts, the format of reasoning; written and read."""

from __future__ import annotations

import re
from dataclasses import replace

from modelberth.decision import Adapter, Decision, Source
from modelberth.engines import flags, gguf
from modelberth.engines.base import WEIGHTS_MOUNT, Wishes
from modelberth.engines.beside import adapter_folder, folder_of
from modelberth.names import SpeculativeMethod
from modelberth.observed import Extras

MANAGED = frozenset(
    [
        "lora",
        "lora_scaled",
        "model_draft",
        "spec_type",
        "spec_draft_n_max",
        "spec_ngram_simple_size_m",
        "n_gpu_layers_draft",
        "cache_type_k_draft",
        "cache_type_v_draft",
        "reasoning_format",
    ]
)
_TYPES = {SpeculativeMethod.DRAFT_MODEL: "draft-simple", SpeculativeMethod.NGRAM: "ngram-simple"}
_UNSIZED = (
    "control_vector",
    "control_vector_scaled",
    "cpu_moe",
    "device",
    "hf_repo_draft",
    "kv_unified_per_slot",
    "mmproj",
    "mmproj_url",
    "n_cpu_ffn",
    "n_cpu_moe",
    "override_tensor",
    "override_tensor_draft",
    "rpc",
    "swa_full",
    "ubatch_size",
)
_RANK = re.compile(r"/rank-([1-9]\d{0,3})/")


def arguments(decision: Decision, wishes: Wishes, kv_type: str) -> list[str]:
    """Flags. Adapters are loaded and apply to nothing (scale 0) until a request names one by its number."""
    args: list[str] = []
    if decision.adapters:
        args += ["--lora-scaled", ",".join(map(_scaled, decision.adapters))]
    drafting = decision.speculative
    if drafting:
        args += ["--spec-type", _TYPES[drafting.method]]
        if drafting.source:
            args += ["--spec-draft-model", _path(drafting.source), "--spec-draft-n-max", str(drafting.tokens)]
            args += ["--spec-draft-ngl", "all" if decision.on_gpu else "0"]
            args += ["--spec-draft-type-k", kv_type, "--spec-draft-type-v", kv_type]
        else:
            args += ["--spec-ngram-simple-size-m", str(drafting.tokens)]
    if wishes.reasoning_parser:
        args += ["--reasoning-format", wishes.reasoning_parser]
    return args


def _path(source: Source, folder: str = "") -> str:
    return f"{WEIGHTS_MOUNT}/{folder or folder_of(source)}/{(source.file or '').rpartition('/')[2]}"


def _scaled(adapter: Adapter) -> str:
    return f"{_path(adapter.source, adapter_folder(adapter))}:0"


def observed(parsed: flags.Parsed, undecided: list[tuple[str, str]]) -> Extras:
    """What a command line says of all that; what is said and cannot be sized joins ``undecided``."""
    for name in _UNSIZED:
        if parsed.values.get(name):
            undecided.append((name, "it takes memory in a way that cannot be sized yet"))
    if parsed.values.get("no_kv_unified"):
        undecided.append(("kv_unified", "slots that share their cells cannot be sized yet"))
    if parsed.values.get("no_kv_offload") is False:
        undecided.append(("no_kv_offload", "it keeps the KV cache off the GPU, which cannot be sized yet"))
    slots, rank = _adapters(parsed, undecided)
    return replace(_drafting(parsed, undecided), lora_slots=slots, lora_rank=rank)


def _adapters(parsed: flags.Parsed, undecided: list[tuple[str, str]]) -> tuple[int, int]:
    """(how many, their highest rank); none where a path does not tell the rank."""
    paths: list[str] = []
    for name in ("lora", "lora_scaled"):
        said = parsed.said(name, undecided)
        paths += str(said).split(",") if said else []
        if said and not all(_RANK.search(path) for path in str(said).split(",")):
            undecided.append((name, "the path of an adapter does not tell its rank"))
            return 0, 0
    ranks = [int(found[1]) for path in paths if (found := _RANK.search(path))]
    return len(ranks), max(ranks, default=0)


def _drafting(parsed: flags.Parsed, undecided: list[tuple[str, str]]) -> Extras:
    kind = parsed.said("spec_type", undecided)
    method = next((method for method, name in _TYPES.items() if name == kind), None)
    if kind not in (None, "none") and method is None:
        undecided.append(("spec_type", "it drafts by a method that cannot be sized"))
    path = parsed.said("model_draft", undecided)
    if method is not SpeculativeMethod.DRAFT_MODEL:
        return Extras(method=method.value if method else "", draft_tokens=_drafted(parsed, "spec_ngram_simple_size_m"))
    draft, stored = flags.repository_in(str(path or "")), gguf.kind_in(str(path or ""))
    if draft is None or stored is None:
        undecided.append(("model_draft", "its path names no repository or no type that can be sized"))
        return Extras()
    tokens = _drafted(parsed, "spec_draft_n_max")
    return Extras(method=method.value, draft=draft, draft_quantization=stored, draft_tokens=tokens)


def _drafted(parsed: flags.Parsed, name: str) -> int:
    value = str(parsed.values.get(name) or "")
    return int(value) if re.fullmatch(r"\d{1,4}", value) else 0
