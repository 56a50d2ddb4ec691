"""What engines refuse at start beside size: combinations of arguments that their own configuration does not take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from modelberth.catalog import catalog
from modelberth.engines import ENGINES
from modelberth.engines.flags import WOULD_NOT_START, Parsed, Word, environment
from modelberth.engines.serving import table_of
from modelberth.errors import suggest
from modelberth.findings import Finding
from modelberth.manifests import Undecided, Workload
from modelberth.node import Node, fields_of
from modelberth.observed import UNKNOWN, Observed
from modelberth.resources import Pod
from modelberth.rules.base import undecided
from modelberth.rules.evaluation import Evaluation, evaluate
from modelberth.versions import key

_PLAIN_TYPES = ("f32", "f16", "bf16")


def refused(pod: Pod, workload: Workload) -> Iterator[Finding]:
    """What one container's arguments contradict among themselves."""
    yield from _not_of_this_version(workload)
    observed, container = workload.observed, fields_of(pod.container_at(workload).value)
    parsed = ENGINES[observed.engine].line(container) if observed else None
    if observed is None or parsed is None or parsed.opaque:
        return
    said: list[tuple[str, str]] = []
    if observed.engine == "vllm":
        found = evaluate(workload)
        said = [*_batches(observed, parsed, found), *_companions(parsed, found)]
    elif observed.engine == "llamacpp":
        said = list(_cache_types(parsed, environment(container)))
        if _attention(parsed, environment(container)) is UNKNOWN and _quantized_values(parsed, environment(container)):
            yield undecided("SZ-01", "whether the engine starts", Node(UNKNOWN, workload.arguments_path))
    for message, remedy in said:
        yield Finding("SZ-01", workload.arguments_path, f"does not start: {message}", remedy)


def surely_refused(workload: Workload, fact: Undecided) -> bool:
    """Whether an engine of a known version does not take what is undecided for that reason alone."""
    observed = workload.observed
    return observed is not None and not observed.version_assumed and fact.why.endswith(WOULD_NOT_START)


def _not_of_this_version(workload: Workload) -> Iterator[Finding]:
    """Flags that the parser of a version refuses, and models that it does not know."""
    observed = workload.observed
    if observed is None or observed.version_assumed:
        return
    facts = catalog().engine(observed.engine)
    running = f"{facts.name} {observed.engine_version}"
    for fact in workload.undecided:
        if surely_refused(workload, fact):
            why = fact.why.removesuffix(WOULD_NOT_START).removeprefix("it ").rstrip(": ")
            why = why.replace("of this version", f"of {running}")
            flags = table_of(facts, observed.engine_version).flags
            close = suggest(fact.fact, [flag for flag in flags if flag.startswith("--")], limit=1)
            remedy = f"did you mean {close[0]}?" if close and close[0] != fact.fact else "correct it, or drop it"
            yield Finding("SZ-01", fact.path, f"does not start: {fact.fact} {why}", remedy)
    model = evaluate(workload).model
    since = facts.architectures_since.get(model.architecture) if model else None
    if model and since and key(observed.engine_version) < key(since):
        message = f"does not start: {running} does not know {model.architecture}, the architecture of {model.id}"
        yield Finding("SZ-01", workload.arguments_path, message, f"{facts.name} {since} or later")


def _batches(observed: Observed, parsed: Parsed, found: Evaluation) -> Iterator[tuple[str, str]]:
    """Tokens of a batch against sequences and context (config/scheduler.py, verify_max_model_len)."""
    tokens, sequences = observed.max_num_batched_tokens, observed.max_num_seqs
    if tokens is None:
        return
    if sequences is not None and tokens < sequences:
        message = f"--max-num-batched-tokens {tokens} is less than --max-num-seqs {sequences}"
        yield message, f"--max-num-seqs {tokens} at most"
    context = found.context or observed.context
    whole = parsed.values.get("enable_chunked_prefill") is False
    if whole and context is not None and tokens < context:
        message = f"without chunked prefill --max-num-batched-tokens {tokens} holds no prompt of {context} tokens"
        yield message, f"--max-num-batched-tokens {context}, or chunked prefill"


def _companions(parsed: Parsed, found: Evaluation) -> Iterator[tuple[str, str]]:
    """Flags that ask for what is not there (entrypoints, validate_parsed_serve_args; config/model.py)."""
    if parsed.values.get("enable_auto_tool_choice") is True and parsed.values.get("tool_call_parser") is None:
        yield "--enable-auto-tool-choice asks for --tool-call-parser", "--tool-call-parser with the model's parser"
    experts = parsed.values.get("enable_expert_parallel")
    if experts is True and found.model is not None and not found.model.num_experts:
        yield f"expert parallel ranks need experts, and {found.model.id} has none", "leave out --enable-expert-parallel"


def _cache_types(parsed: Parsed, env: Mapping[str, Word]) -> Iterator[tuple[str, str]]:
    """llama.cpp reads quantized values with flash attention only (src/llama-context.cpp, llama_init_from_model)."""
    if _attention(parsed, env) in ("off", "0", "false", "disabled") and _quantized_values(parsed, env):
        yield "a quantized V cache requires flash attention, which is turned off", "--flash-attn on"


def _attention(parsed: Parsed, env: Mapping[str, Word]) -> Word | None:
    return parsed.values.get("flash_attn", env.get("LLAMA_ARG_FLASH_ATTN"))


def _quantized_values(parsed: Parsed, env: Mapping[str, Word]) -> bool:
    kind = parsed.values.get("cache_type_v", env.get("LLAMA_ARG_CACHE_TYPE_V"))
    return isinstance(kind, str) and kind not in _PLAIN_TYPES
