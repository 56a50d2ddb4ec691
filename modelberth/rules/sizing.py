"""The sizing rules: does the engine start with what the manifest asks, on what the manifest asks it from."""

from __future__ import annotations

from itertools import groupby

from modelberth.findings import Finding, Level, Nature
from modelberth.fit import beside_budget
from modelberth.manifests import CONTAINER, GPU_RESOURCE, Undecided, Workload
from modelberth.observed import Observed
from modelberth.rules.base import ADVICE, ALWAYS, Rule, Severity, per_workload
from modelberth.rules.evaluation import blocks, evaluate
from modelberth.rules.releases import with_releases
from modelberth.rules.wording import arithmetic, assumed, headline, ways_out
from modelberth.units import gib, tokens

_MANY = 3


def _fits(workload: Workload) -> list[Finding]:
    found = evaluate(workload)
    if found.refusals:
        message = f"does not start: {'; '.join(each.message for each in found.refusals)}"
        remedy = "; ".join(each.remedy for each in found.refusals if each.remedy)
        return [Finding("SZ-01", workload.arguments_path, message, remedy)]
    if not found.does_not_fit or not (found.engine and found.sizing and found.answer and found.answer.memory):
        return []
    memory = found.answer.memory
    head = f"does not fit: {headline(found.engine, found.sizing, memory)}"
    message = "\n    ".join([head, *arithmetic(found.sizing, memory), *assumed(workload)])
    remedy = ways_out(found.engine, found.sizing, memory)
    return [Finding("SZ-01", workload.arguments_path, message, remedy)]


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


def _within_maximum(workload: Workload) -> list[Finding]:
    found = evaluate(workload)
    if found.model is None or found.context is None or not found.open_for("SZ-08"):
        return []
    most = found.model.max_position or found.context
    if found.context <= most:
        return []
    asked = f"a context of {tokens(found.context)} tokens"
    message = f"{asked} is more than the {tokens(most)} that {found.model.id} was made for"
    return [Finding("SZ-08", workload.arguments_path, message, f"a context of at most {tokens(most)} tokens")]


def _evaluated(workload: Workload) -> list[Finding]:
    causes = sorted(evaluate(workload).undecided, key=_cause)
    return [_cannot_decide(list(facts)) for _, facts in groupby(causes, key=_cause)]


def _cause(undecided: Undecided) -> tuple[str, str, str]:
    return undecided.path, undecided.why, undecided.remedy


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
    check=per_workload(_fits),
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
    check=per_workload(_within_maximum),
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
RULES = (FITS, SURELY_FITS, *_QUESTIONS[1:], EVALUATED)
