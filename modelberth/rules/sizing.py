"""The sizing rules: does the engine start with what the manifest asks, on what the manifest asks it from."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from modelberth.catalog import Model, catalog
from modelberth.catalog.schema import Link
from modelberth.decision import SIZING_ANNOTATION
from modelberth.engines import ENGINES, Engine
from modelberth.engines.flags import environment
from modelberth.findings import Finding, Level, Nature
from modelberth.fit import beside_budget
from modelberth.manifests import CONTAINER, GPU_RESOURCE, Undecided, Workload, legible_record
from modelberth.memory import Memory, Unsized, shape_of
from modelberth.node import Node, fields_of
from modelberth.observed import UNKNOWN, Observed
from modelberth.parallel import exchanged_bytes
from modelberth.resources import Pod, Resource
from modelberth.rules.base import ADVICE, ALWAYS, Rule, Settings, Severity, per_workload, undecided
from modelberth.rules.evaluation import Evaluation, blocks, evaluate
from modelberth.rules.refusals import refused, surely_refused
from modelberth.rules.releases import with_releases
from modelberth.rules.wording import arithmetic, assumed, headline, ways_out
from modelberth.units import gib, tokens
from modelberth.versions import key

_MANY = 3
ASKS_SINCE = "0.32.0"
"""vLLM stops with fewer GPUs than ranks unless it is told how to spread (0.32.0 and 0.33.0, config/parallel.py); older
versions may look for Ray by themselves."""
ALLOW_LONGER = {
    "sglang": "SGLANG_ALLOW_OVERWRITE_LONGER_CONTEXT_LEN",
    "vllm": "VLLM_ALLOW_LONG_MAX_MODEL_LEN",
}
"""Variables by which an engine takes a longer context all the same (vLLM 0.33.0, config/model.py; SGLang 0.5.23,
srt/configs/model_config.py)."""
OTHER_RULES = frozenset({"adapters", "engine", "kv-dtype", "quantization", "utilization"})
"""Refusals of an engine that rules of their own tell: SZ-09, SZ-10, SZ-11, SZ-23."""


def _starts(resource: Resource, settings: Settings) -> Iterator[Finding]:
    record = resource.node.at("metadata", "annotations")[SIZING_ANNOTATION]
    if resource.workloads and record.unknown and SIZING_ANNOTATION in record.path:
        yield undecided("SZ-01", "whether what the sizing record states is held", record)
    for pod in resource.pods:
        for workload in pod.serving:
            yield from list(refused(pod, workload)) or _fits(workload)


def _fits(workload: Workload) -> list[Finding]:
    found = evaluate(workload)
    if workload.mig_profile and not found.refusals:
        return []  # SZ-24
    if found.refusals:
        own = [each for each in found.refusals if each.code not in OTHER_RULES]
        message = f"does not start: {'; '.join(each.message for each in own)}"
        remedy = "; ".join(each.remedy for each in own if each.remedy)
        return [Finding("SZ-01", workload.arguments_path, message, remedy)] if own else []
    if not (found.engine and found.sizing and found.answer and found.answer.memory):
        return []
    memory = found.answer.memory
    if not found.does_not_fit:
        return list(_holds_what_is_stated(workload, found.engine, memory))
    head = f"does not fit: {headline(found.engine, found.sizing, memory)}"
    message = "\n    ".join([head, *arithmetic(found.sizing, memory), *assumed(workload)])
    remedy = ways_out(found.engine, found.sizing, memory)
    return [Finding("SZ-01", workload.arguments_path, message, remedy)]


def _holds_what_is_stated(workload: Workload, engine: Engine, memory: Memory) -> Iterator[Finding]:
    """A concurrency that our own record states and that surely cannot be held.

    Never the most sequences that an engine is told: those are a cap, and requests share pages.
    """
    record = Node(legible_record(workload.sizing_record or "") or {}, "")
    wanted, request = record["concurrency"].whole(), record["request_tokens"].whole()
    if engine.reserves_context or not wanted or not request:
        return
    low, high = memory.kv_budget_range_bytes
    if memory.kv.concurrency(max(0, high), request) >= wanted:
        return
    held = int(memory.kv.concurrency(max(0, low), request))
    need = (
        f"{wanted} requests of {tokens(request)} tokens need {gib(wanted * memory.kv_bytes_for(request))} of KV cache"
    )
    message = f"does not hold what it was sized for: {need}, {gib(memory.kv_budget_bytes)} are left for {held} of them"
    remedy = f"a concurrency of {held}" if held else "fewer tokens in a request"
    yield Finding("SZ-01", workload.arguments_path, message, f"{remedy}, or the GPU that was planned")


def _surely_fits(workload: Workload) -> list[Finding]:
    found = evaluate(workload)
    if not found.too_close or not (found.engine and found.sizing and found.answer and found.answer.memory):
        return []
    memory = found.answer.memory
    low, high = memory.kv_budget_range_bytes
    need = memory.kv_bytes_for(found.sizing.context)
    head = (
        f"may not fit: {gib(need)} of KV cache are needed for a full-length request, {gib(low)} to {gib(high)} are left"
    )
    if memory.spare_outside_bytes < 0:
        head = f"may not fit: the engine takes {beside_budget(memory)}"
    message = "\n    ".join([head, *arithmetic(found.sizing, memory), *assumed(workload)])
    remedy = ways_out(found.engine, found.sizing, memory)
    return [Finding("SZ-02", workload.arguments_path, message, remedy, Level.WARNING)]


def _divides_heads(workload: Workload) -> list[Finding]:
    found, observed = evaluate(workload), workload.observed
    if observed is None or found.engine is None or found.model is None or not found.open_for("SZ-03"):
        return []
    heads, size = found.model.num_attention_heads, observed.tensor_parallel
    if heads % size == 0:
        return []
    sizes = [str(n) for n in range(1, 65) if heads % n == 0]
    message = f"tensor parallel size {size} does not divide the {heads} attention heads of {found.model.id}"
    return [Finding("SZ-03", workload.arguments_path, message, f"{found.engine.parallel_flag} {' or '.join(sizes)}")]


def _equals_gpus(workload: Workload) -> list[Finding]:
    found, observed, gpus = evaluate(workload), workload.observed, workload.replica_gpus
    if observed is None or found.engine is None or gpus is None or not found.open_for("SZ-04"):
        return []
    ranks = observed.tensor_parallel * observed.pipeline_parallel
    on_host = gpus == 0 and workload.on_cpu_image
    nodes, pods = observed.nodes, workload.group_size
    if nodes is not None and nodes > 1 and nodes != pods:
        message = f"the model is shared by {nodes} nodes, {pods} {'pod holds' if pods == 1 else 'pods hold'} one copy"
        return [Finding("SZ-04", workload.arguments_path, message, f"as many nodes as pods of a group: {pods}")]
    if ranks == gpus or on_host or found.engine.spreads_unasked:
        return []
    return [_ranks_and_gpus(workload, observed, ranks, gpus, found.engine.parallel_flag)]


def _ranks_and_gpus(workload: Workload, observed: Observed, ranks: int, gpus: int, flag: str) -> Finding:
    sizes = f"tensor parallel size {observed.tensor_parallel} x pipeline parallel size {observed.pipeline_parallel}"
    who = f"the {workload.group_size} pods of a group request" if workload.group_size > 1 else "the container requests"
    message = f"{sizes} = {ranks} {'GPU' if ranks == 1 else 'GPUs'}, {who} {gpus}"
    per_pod = -(-ranks // workload.group_size)
    remedy = f"{GPU_RESOURCE}: {per_pod}" + (f", or {flag} {gpus // observed.pipeline_parallel}" if gpus else "")
    return Finding("SZ-04", f'{workload.path}.resources.limits["{GPU_RESOURCE}"]', message, remedy)


def _inside_a_node(resource: Resource, settings: Settings) -> Iterator[Finding]:
    for pod in resource.pods:
        for workload in pod.serving:
            found = evaluate(workload)
            if workload.observed is None or found.engine is None or not found.open_for("SZ-05"):
                continue
            if workload.group_size > 1:
                yield from _over_nodes(pod, workload, workload.observed, found.engine)
            if not resource.ours:
                yield from _over_pcie(workload, workload.observed, found)


def _over_nodes(pod: Pod, workload: Workload, observed: Observed, engine: Engine) -> Iterator[Finding]:
    """Ranks of one layer on several nodes: the engine must be told how it spreads, and every layer waits for it."""
    size, gpus = observed.tensor_parallel, workload.gpus or 0
    if size <= gpus or engine.spreads_unasked:
        return
    message = f"tensor parallel size {size} is more than the {gpus} GPUs of a pod"
    remedy = (
        f"{engine.parallel_flag} {gpus} inside a pod, and as many pipeline stages as pods" if gpus else "request GPUs"
    )
    spread = _spread(pod, workload, engine)
    if spread is None:
        yield undecided("SZ-05", INSIDE_A_NODE.question, Node(UNKNOWN, workload.arguments_path))
    elif spread:
        said = f"{message}: every layer of every token waits for the network between nodes"
        yield Finding("SZ-05", workload.arguments_path, said, remedy, Level.WARNING)
    else:
        said = f"does not start: {message}, and nothing tells the engine how to spread over nodes"
        yield Finding("SZ-05", workload.arguments_path, said, remedy)


def _spread(pod: Pod, workload: Workload, engine: Engine) -> bool | None:
    """Whether the engine is told how to spread over nodes, or finds out; None where that is only known after apply."""
    parsed = engine.line(pod.container_at(workload).value)
    if parsed is None or parsed.opaque or engine.name not in ("sglang", "vllm"):
        return True
    old = engine.name == "vllm" and key(workload.observed.engine_version if workload.observed else "0") < key(
        ASKS_SINCE
    )
    told = (parsed.values.get("nnodes", "1"), parsed.values.get("distributed_executor_backend", "mp"))
    if old or any(word is not UNKNOWN and word != usual for word, usual in zip(told, ("1", "mp"), strict=True)):
        return True
    return None if UNKNOWN in told else False


def _over_pcie(workload: Workload, observed: Observed, found: Evaluation) -> Iterator[Finding]:
    """What tensor parallel costs where nothing faster than PCIe joins the GPUs."""
    size = observed.tensor_parallel
    gpu = catalog().gpu(workload.gpu) if workload.gpu else None
    if size < 2 or gpu is None or found.model is None or found.context is None or gpu.link_gb_per_s is None:
        return
    machine = catalog().machine(workload.machine) if workload.machine else None
    link = (machine.gpu_interconnect if machine else None) or gpu.link
    if link is not Link.PCIE:
        return
    try:
        amount = exchanged_bytes(shape_of(found.model), size, found.context)
    except Unsized:
        return
    least_ms = amount / (gpu.link_gb_per_s * 1e6)
    exchanged = f"for {tokens(found.context)} tokens each of {size} GPUs sends {gib(amount)}"
    message = f"only PCIe joins these GPUs: {exchanged}, at least {least_ms:,.0f} ms at {gpu.link_gb_per_s:g} GB/s"
    remedy = "one GPU that holds the model, or GPUs that NVLink joins, where time matters"
    yield Finding("SZ-05", workload.arguments_path, message, remedy, Level.WARNING)


def _within_maximum(resource: Resource, settings: Settings) -> Iterator[Finding]:
    for pod in resource.pods:
        for workload in pod.serving:
            found = evaluate(workload)
            if found.model is None or found.context is None or not found.open_for("SZ-08"):
                continue
            most = found.model.max_position or found.context
            if found.context > most:
                yield _longer(pod, workload, found.model, found.context, most)


def _longer(pod: Pod, workload: Workload, model: Model, context: int, most: int) -> Finding:
    """Engines refuse it unless a variable insists; then positions that the model never saw are answered badly.

    llama-server and Ollama start all the same ("possible training context overflow", src/llama-context.cpp).
    """
    starts = bool(workload.observed and ENGINES[workload.observed.engine].reads_gguf)
    allows = ALLOW_LONGER.get(workload.observed.engine if workload.observed else "", "")
    container = pod.container_at(workload)
    allowed = environment(fields_of(container.value)).get(allows)
    if allowed is UNKNOWN:
        return undecided("SZ-08", WITHIN_MAXIMUM.question, container["env"])
    asked = f"a context of {tokens(context)} tokens"
    message = f"{asked} is more than the {tokens(most)} that {model.id} was made for"
    level = Level.WARNING if starts or str(allowed).strip().lower() in ("1", "true") else Level.ERROR
    return Finding("SZ-08", workload.arguments_path, message, f"a context of at most {tokens(most)} tokens", level)


def _evaluated(workload: Workload) -> list[Finding]:
    causes = sorted((each for each in evaluate(workload).undecided if not surely_refused(workload, each)), key=_cause)
    return [_cannot_decide(list(facts)) for _, facts in groupby(causes, key=_cause)]


def _cause(fact: Undecided) -> tuple[str, str, str]:
    return fact.path, fact.why, fact.remedy


def _cannot_decide(facts: list[Undecided]) -> Finding:
    first = facts[0]
    questions = [rule.question for rule in _QUESTIONS if any(blocks(fact, rule.id) for fact in facts)]
    names = sorted({_spelled(fact.fact) for fact in facts})
    if len(names) > _MANY:
        because = f"because a part of the arguments {first.why.removeprefix('it ')}"
    elif len(names) == 1 and first.why.startswith("it "):
        because = f"because {names[0]} {first.why.removeprefix('it ')}"
    else:
        because = f"because of {' and '.join(names)}: {first.why}"
    message = f"cannot decide {_listed(questions)} {because}"
    return Finding("SZ-21", first.path, message, first.remedy, nature=Nature.UNDECIDED)


def _listed(questions: list[str]) -> str:
    if len(questions) == len(_QUESTIONS):
        return EVALUATED.question
    *most, last = questions
    return f"{', '.join(most)} or {last}" if most else last


def _spelled(fact: str) -> str:
    """Facts that arguments state by their flag, variables by their name, the others with an article."""
    if "_" in fact or fact in _FLAGS:
        return fact if fact.isupper() else f"--{fact.replace('_', '-')}"
    return fact if fact == CONTAINER or fact.startswith("-") else f"the {fact}"


_FLAGS = frozenset({"dtype", "config", "parallel", "alias", "lora", "mmproj", "device", "speculate"})

FITS = Rule(
    id="SZ-01",
    name="model-fits",
    title="The model fits its accelerators",
    question="whether the model fits",
    why="The engine refuses to start, or is killed, when weights, overhead and one full-length request need more.",
    remediation="Lower the context, quantize, or use larger or more GPUs; the finding names the nearest of each.",
    severity=Severity.CRITICAL,
    levels=ALWAYS,
    source="vLLM's own refusal at start: v1/core/kv_cache_utils.py; docs/sizing.md",
    check=_starts,
)
SURELY_FITS = Rule(
    id="SZ-02",
    name="model-surely-fits",
    title="The model fits with certainty",
    question="whether the model fits with certainty",
    why="What an engine takes beside its weights differs from start to start; so close to the limit some starts fail.",
    remediation="Lower the context a little, or take one of the other ways the finding names.",
    severity=Severity.MEDIUM,
    levels=ADVICE,
    source="the range of every sum: docs/adr/0008-a-verdict-is-its-range.md",
    check=per_workload(_surely_fits),
)
DIVIDES_HEADS = Rule(
    id="SZ-03",
    name="tensor-parallel-divides-heads",
    title="The tensor parallel size divides the attention heads",
    question="whether the tensor parallel size divides the attention heads",
    why="Attention heads are split evenly over the ranks; the engine refuses any other number.",
    remediation="Choose a tensor parallel size that divides the model's number of attention heads.",
    severity=Severity.CRITICAL,
    levels=ALWAYS,
    source="vLLM's own refusal: config/model.py, verify_with_parallel_config",
    check=per_workload(_divides_heads),
)
EQUALS_GPUS = Rule(
    id="SZ-04",
    name="parallel-size-equals-gpus",
    title="The parallel size equals the GPUs requested",
    question="whether the parallel size equals the GPUs requested",
    why="Fewer GPUs than ranks and the engine crashes; more and the rest stand idle and are paid for.",
    remediation="Make tensor parallel size x pipeline parallel size equal to the nvidia.com/gpu limit.",
    severity=Severity.HIGH,
    levels=ALWAYS,
    source="one rank per GPU: config/parallel.py of vLLM, server_args.py of SGLang",
    check=per_workload(_equals_gpus),
)
INSIDE_A_NODE = Rule(
    id="SZ-05",
    name="tensor-parallel-inside-node",
    title="Tensor parallel ranks are joined inside one node",
    question="whether tensor parallel ranks are joined inside one node",
    why="Ranks exchange their results in every layer: over a network, or over PCIe, every token waits for that.",
    remediation="Tensor parallel inside a node, pipeline stages between nodes; NVLink where time matters.",
    severity=Severity.HIGH,
    levels=ALWAYS,
    source="vLLM's own refusal: config/parallel.py, World size is larger than the number of available GPUs",
    check=_inside_a_node,
)
WITHIN_MAXIMUM = Rule(
    id="SZ-08",
    name="context-within-maximum",
    title="The context is within the model's maximum",
    question="whether the context is within the model's maximum",
    why="A model was not trained beyond its maximum; engines refuse a longer context or answer badly.",
    remediation="Lower the context to the model's maximum, or serve a model made for longer ones.",
    severity=Severity.HIGH,
    levels=ALWAYS,
    source="vLLM's own refusal: config/model.py, max_model_len",
    check=_within_maximum,
)
EVALUATED = Rule(
    id="SZ-21",
    name="sizing-evaluated",
    title="The sizing could be evaluated",
    question="whether the sizing holds",
    why="A value that is not known at preview must not turn a mandatory rule quiet.",
    remediation="Make everything that sizing depends on a plain value.",
    severity=Severity.HIGH,
    levels=ALWAYS,
    source="unknown values turn a policy into advice: pulumi_policy/policy.py, Analyze",
    check=with_releases(per_workload(_evaluated)),
)
_QUESTIONS = (FITS, DIVIDES_HEADS, EQUALS_GPUS, WITHIN_MAXIMUM)
RULES = (FITS, SURELY_FITS, *_QUESTIONS[1:], INSIDE_A_NODE, EVALUATED)
