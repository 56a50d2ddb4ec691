"""The rule about LoRA adapters: slots that the engine has, names that differ. Their memory is part of the fit."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from modelberth import compatibility
from modelberth.catalog import catalog
from modelberth.engines import ENGINES
from modelberth.engines.flags import Parsed, Word
from modelberth.findings import Finding, Level
from modelberth.manifests import Workload
from modelberth.node import Node, fields_of
from modelberth.observed import UNKNOWN, Observed
from modelberth.resources import Resource
from modelberth.rules.base import ALWAYS, Rule, Settings, Severity, undecided

_NAMED_BY = {"sglang": "lora_paths", "vllm": "lora_modules"}
_SLOTS = {"sglang": ("max_loras_per_batch", 8, "max_loaded_loras"), "vllm": ("max_loras", 1, "max_cpu_loras")}
"""Engine -> (slots used at once, how many when nothing is said, adapters kept in all): vLLM 0.33.0, config/lora.py;
SGLang 0.5.23, srt/arg_groups/fields/lora.py and lora_hook.py."""

_DEFAULT_RANK = {"vllm": 16}
"""Where none is said: vLLM 0.33.0, config/lora.py. SGLang takes the largest of the adapters."""
_RANK = re.compile(r"/rank-([1-9]\d{0,3})\b")


def _adapters(resource: Resource, settings: Settings) -> Iterator[Finding]:
    for pod in resource.pods:
        for workload in pod.serving:
            observed = workload.observed
            if observed is None or observed.engine not in _NAMED_BY:
                continue
            parsed = ENGINES[observed.engine].line(fields_of(pod.container_at(workload).value))
            if parsed is not None and not parsed.opaque:
                yield from _named(workload, observed, parsed)
                yield from _slots(workload, observed, parsed)


def _named(workload: Workload, observed: Observed, parsed: Parsed) -> Iterator[Finding]:
    flag = _NAMED_BY[observed.engine]
    words, path = parsed.lists.get(flag, []), workload.arguments_path
    names = Counter(name for word in words if (name := _name(word)))
    if len(words) > 1 and UNKNOWN in words:
        yield undecided("SZ-23", RULES[0].question, Node(UNKNOWN, path))
    twice = sum(1 for count in names.values() if count > 1)
    shown = f"--{flag.replace('_', '-')}"
    if twice:
        message = f"does not start: {shown} names {len(words)} adapters, {twice} of the names more than once"
        yield Finding("SZ-23", path, message, "a name of its own for each adapter")
    if words and observed.engine == "vllm" and parsed.values.get("enable_lora") not in (True, UNKNOWN):
        message = f"does not start: {shown} loads adapters, and LoRA is not enabled"
        yield Finding("SZ-23", path, message, "--enable-lora")
    if words and observed.engine == "sglang" and parsed.values.get("enable_lora") is False:
        yield Finding("SZ-23", path, f"{shown} is ignored: LoRA is turned off", "--enable-lora", Level.WARNING)


def _name(word: Word) -> str:
    """The name of an adapter: ``name=path``, a JSON object with a name, or a path that stands for itself."""
    if not isinstance(word, str):
        return ""
    if "=" in word and "," not in word:
        return word.partition("=")[0]
    try:
        document: Any = json.loads(word)
    except (ValueError, RecursionError):
        return word
    fields = fields_of(document)
    return str(fields.get("name") or fields.get("lora_name") or "")


def _slots(workload: Workload, observed: Observed, parsed: Parsed) -> Iterator[Finding]:
    slots_flag, default, kept_flag = _SLOTS[observed.engine]
    path, many = workload.arguments_path, len(parsed.lists.get(_NAMED_BY[observed.engine], []))
    rank = parsed.values.get("max_lora_rank")
    known = compatibility.choices(observed.engine, observed.engine_version, "max_lora_rank")
    if known and isinstance(rank, str) and rank not in known.names:
        engine = f"{catalog().engine(observed.engine).name} {observed.engine_version}"
        message = f"does not start: --max-lora-rank is none of the ranks that {engine} has slots for"
        yield Finding("SZ-23", path, message, f"--max-lora-rank {_next(rank, known.names)}")
    yield from _ranks(workload, observed, parsed)
    if parsed.values.get(kept_flag) is UNKNOWN:
        yield undecided("SZ-23", RULES[0].question, Node(UNKNOWN, path))
    slots, kept = _count(parsed.values.get(slots_flag), default), _count(parsed.values.get(kept_flag), None)
    shown, keeps = f"--{slots_flag.replace('_', '-')}", f"--{kept_flag.replace('_', '-')}"
    if slots is None:
        return
    if kept is not None and kept < slots:
        message = f"does not start: {keeps} {kept} is less than {shown} {slots}"
        yield Finding("SZ-23", path, message, f"{keeps} {slots} at least")
    elif observed.engine == "sglang" and kept is not None and many > kept:
        message = f"does not start: {many} adapters are named, {keeps} keeps {kept}"
        yield Finding("SZ-23", path, message, f"{keeps} {many}")
    elif many > slots and parsed.values.get("enable_lora") is not False:
        message = f"{many} adapters share {shown} {slots}: requests for others wait until one is exchanged"
        yield Finding("SZ-23", path, message, f"{shown} {many}", Level.WARNING)


def _ranks(workload: Workload, observed: Observed, parsed: Parsed) -> Iterator[Finding]:
    """Adapters lie in folders that say their rank where our components download them."""
    words = parsed.lists.get(_NAMED_BY[observed.engine], [])
    ranks = [int(found[1]) for word in words if isinstance(word, str) and (found := _RANK.search(word))]
    most = _count(parsed.values.get("max_lora_rank"), _DEFAULT_RANK.get(observed.engine))
    if ranks and most is not None and max(ranks) > most:
        message = f"does not load: an adapter of rank {max(ranks)} is above --max-lora-rank {most}"
        yield Finding("SZ-23", workload.arguments_path, message, f"--max-lora-rank {max(ranks)}, or the next on offer")


def _count(value: Word | None, default: int | None) -> int | None:
    if value is None:
        return default
    return int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 9 else None


def _next(rank: str, names: tuple[str, ...]) -> str:
    """The smallest rank on offer that holds one of ``rank``."""
    wanted = _count(rank, None) or 0
    return next((name for name in names if int(name) >= wanted), names[-1])


RULES = (
    Rule(
        id="SZ-23",
        name="adapters-have-slots",
        title="Adapters have slots and names of their own",
        question="whether adapters have slots and names of their own",
        why="An engine refuses to start with a rank that it has no slots for, or with two adapters of one name.",
        remediation="Name each adapter once, take a rank on offer, and as many slots as adapters are used at once.",
        severity=Severity.MEDIUM,
        levels=ALWAYS,
        source="vLLM's own refusals: config/lora.py, entrypoints/openai/models/serving.py; SGLang's lora_hook.py",
        check=_adapters,
    ),
)
