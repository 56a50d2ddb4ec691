"""What vLLM carries beside its model: adapters, drafts, parsers, KV cache on the host; written and read."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any, cast

from modelberth.decision import Adapter, Decision, Drafting
from modelberth.engines import flags, serving
from modelberth.engines.base import WEIGHTS_MOUNT, Sizing, Wishes, parallel_objections
from modelberth.engines.beside import adapter_folder, draft_model, folder_of
from modelberth.findings import Finding, Level
from modelberth.memory import Unsized
from modelberth.memory.extras import LORA_RANKS, slot_rank
from modelberth.names import SpeculativeMethod
from modelberth.observed import Extras
from modelberth.units import GIB

MANAGED = frozenset(
    [
        "enable_lora",
        "max_loras",
        "max_lora_rank",
        "lora_modules",
        "speculative_config",
        "tool_call_parser",
        "enable_auto_tool_choice",
        "reasoning_parser",
        "kv_offloading_size",
        "kv_offloading_backend",
    ]
)
NGRAM_LOOKUP_TOKENS = 5
"""Tokens that must have been seen before (prompt_lookup_min and max when nothing is said, config/speculative.py)."""

RUNTIME_LOADING = "VLLM_ALLOW_RUNTIME_LORA_UPDATING"
_SPEC_FLAGS = {"spec_method": "method", "spec_model": "model", "spec_tokens": "num_speculative_tokens"}


def arguments(decision: Decision, wishes: Wishes) -> list[str]:
    """Flags, in the order in which a spec names what they are for."""
    args: list[str] = []
    if decision.adapters:
        args += ["--enable-lora", "--max-loras", str(len(decision.adapters))]
        args += ["--max-lora-rank", str(slot_rank(decision.lora_rank))]
        args += ["--lora-modules", *map(_module, decision.adapters)]
    if decision.speculative:
        args += ["--speculative-config", _drafting(decision.speculative, local=decision.storage.kind != "hub")]
    if wishes.tool_call_parser:
        args += ["--enable-auto-tool-choice", "--tool-call-parser", wishes.tool_call_parser]
    if wishes.reasoning_parser:
        args += ["--reasoning-parser", wishes.reasoning_parser]
    if decision.kv_offload_gib:
        args += ["--kv-offloading-size", str(decision.kv_offload_gib), "--kv-offloading-backend", "native"]
    return args


def objections(sizing: Sizing) -> list[Finding]:
    """What vLLM cannot carry: slots of a higher rank, a draft model that its ranks cannot share."""
    found: list[Finding] = []
    if sizing.extras.lora_rank > LORA_RANKS[-1]:
        message = f"a rank of {sizing.extras.lora_rank} is more than vLLM has slots for"
        found.append(Finding("adapters", "adapters", message, f"adapters of rank {LORA_RANKS[-1]} at most"))
    try:
        draft = draft_model(sizing.extras)
    except Unsized:
        return found
    if draft:
        served = replace(sizing, model=draft, quantization="bf16", extras=Extras())
        shared = (finding for finding in parallel_objections("vllm", served) if finding.level is Level.ERROR)
        found += [replace(finding, message=f"the draft {draft.id}: {finding.message}") for finding in shared]
    return found


def variables(wishes: Wishes) -> dict[str, str]:
    """Variables of the environment."""
    return {RUNTIME_LOADING: "True"} if wishes.runtime_adapter_loading else {}


def _module(adapter: Adapter) -> str:
    return f"{adapter.name}={WEIGHTS_MOUNT}/{adapter_folder(adapter)}"


def _drafting(drafting: Drafting, *, local: bool) -> str:
    config: dict[str, str | int] = {"method": drafting.method.value, "num_speculative_tokens": drafting.tokens}
    if drafting.method is SpeculativeMethod.NGRAM:
        config |= {"prompt_lookup_max": NGRAM_LOOKUP_TOKENS, "prompt_lookup_min": NGRAM_LOOKUP_TOKENS}
    source = drafting.source
    if source:
        config["model"] = f"{WEIGHTS_MOUNT}/{folder_of(source)}" if local else source.repository
        if not local and source.revision:
            config["revision"] = source.revision
    return json.dumps(config, sort_keys=True)


def observed(line: serving.Reading) -> Extras:
    """What a command line says of all that; what is said and cannot be sized joins ``undecided``."""
    parsed, undecided = line.parsed, line.undecided
    offloaded = _gib(parsed, "kv_offloading_size", undecided)
    slots, rank = 0, 0
    if parsed.said("enable_lora", undecided):
        slots, rank = line.whole("max_loras") or 1, line.whole("max_lora_rank") or 16
    method, draft, tokens = _observed_drafting(parsed, undecided)
    return Extras(
        lora_slots=slots,
        lora_rank=rank,
        method=method,
        draft=draft,
        draft_tokens=tokens,
        kv_offload_bytes=int((offloaded or 0) * GIB),
    )


def _gib(parsed: flags.Parsed, name: str, undecided: list[tuple[str, str]]) -> float | None:
    """An amount above zero, which need not be whole."""
    value = parsed.said(name, undecided)
    if value is None:
        return None
    amount = flags.human_number(str(value), float)
    if amount is None or amount <= 0:
        undecided.append((name, "it is not a positive number"))
        return None
    return amount


def _observed_drafting(parsed: flags.Parsed, undecided: list[tuple[str, str]]) -> tuple[str, str | None, int]:
    """(method, repository of the draft, tokens); an empty method where nothing drafts or nobody can tell what."""
    config, name = _config(parsed, undecided)
    if config is None:
        return "", None, 0
    method, model, tokens = config.get("method"), config.get("model"), config.get("num_speculative_tokens")
    if method not in list(SpeculativeMethod):
        undecided.append((name, "it drafts by a method that cannot be sized"))
        return "", None, 0
    if not re.fullmatch(r"[1-9]\d{0,3}", str(tokens)):
        undecided.append((name, "it does not say how many tokens are drafted"))
        return "", None, 0
    if not SpeculativeMethod(str(method)).has_weights:
        return str(method), None, int(str(tokens))
    path = str(model or "")
    draft = flags.repository_in(path) if path.startswith(("/", "./")) else path
    if not draft:
        undecided.append((name, "the path of its model names no repository"))
        return "", None, 0
    return str(method), draft, int(str(tokens))


def _config(parsed: flags.Parsed, undecided: list[tuple[str, str]]) -> tuple[dict[str, object] | None, str]:
    """The settings of --speculative-config or of the flags that stand for it, and which of them they are."""
    value = parsed.said("speculative_config", undecided)
    parts = {key: parsed.said(flag, undecided) for flag, key in _SPEC_FLAGS.items()}
    stated: dict[str, object] = {key: said for key, said in parts.items() if said is not None}
    if value is None:
        return (stated or None), "spec_method"
    try:
        document: Any = json.loads(str(value))
    except ValueError:
        document = None
    if not isinstance(document, dict):
        undecided.append(("speculative_config", "it is not a JSON object on one line"))
        return None, "speculative_config"
    return cast("dict[str, object]", document) | stated, "speculative_config"
