"""One workload, sized: what its engine would find when it starts, and everything that keeps us from knowing."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache

from modelberth import compatibility
from modelberth.catalog import Checkpoint, Format, Gpu, Model, catalog
from modelberth.clouds import node_profile
from modelberth.engines import ENGINES, Accelerator, Engine, Sizing
from modelberth.engines.flags import NO_FLAG
from modelberth.errors import ModelberthError, UnknownName
from modelberth.findings import Finding, errors
from modelberth.fit import Fit, Verdict, fit, starts
from modelberth.host import usable_memory_bytes
from modelberth.manifests import CONTAINER, GPU_RESOURCE, Undecided, Workload
from modelberth.memory import Unsized, shape_of
from modelberth.observed import Observed
from modelberth.units import GIB
from modelberth.versions import key

_REPOSITORY = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}", re.ASCII)
_TENSOR_PARALLEL = frozenset({"tensor_parallel_size", "tp_size", "num_shard", "sharded"})
_PARALLEL = _TENSOR_PARALLEL | frozenset(
    ["pipeline_parallel_size", "pp_size", "data_parallel_size", "dp_size", "GPU count", "group size"]
)
_MODEL = frozenset({"model", "model_path", "model_id"})
_CONTEXT = frozenset(
    {"max_model_len", "context_length", "max_total_tokens", "max_seq_len", "ctx_size", "parallel", "maximum context"}
) | {"OLLAMA_CONTEXT_LENGTH"}
FLOAT16_INSTEAD = {"vllm": "0.9.1", "sglang": "0.5"}
"""Engine -> first version that serves bfloat16 weights as float16 where the GPU has no bfloat16 and nothing insists on
it (vLLM 0.32.0 and 0.33.0, config/model.py, ``_resolve_auto_dtype``) or even then (SGLang 0.5.20 to 0.5.23,
``maybe_downgrade_dtype_for_legacy_gpu``).
"""
_NO_BFLOAT16_BELOW = (8, 0)
_BY_NAME = "name its catalog id as the served model name or alias"
_NAMED_BY = {"ollama": "pull it by its repository: hf.co/OWNER/NAME:QUANTIZATION, or name its catalog id as MODEL"}
"""Engine -> how a manifest says which model it serves, where its arguments do not."""
_BY_LABEL = (
    "select nodes by cloud.google.com/gke-accelerator, nvidia.com/gpu.product or node.kubernetes.io/instance-type"
)
_NEEDS = {
    "SZ-03": frozenset({CONTAINER, "engine"}) | _MODEL | _TENSOR_PARALLEL,
    "SZ-04": frozenset({CONTAINER, "engine"}) | _PARALLEL,
    "SZ-05": frozenset({CONTAINER, "engine"}) | _PARALLEL,
    "SZ-08": frozenset({CONTAINER, "engine", "hf_overrides", "json_model_override_args"}) | _MODEL | _CONTEXT,
}


def blocks(undecided: Undecided, rule_id: str) -> bool:
    """Whether a rule cannot answer without this fact. The fit needs everything.

    A flag that the engine does not know may be one of a program that is built on it, and that spreads in its own way.
    """
    unread = undecided.why.startswith(NO_FLAG)
    return unread or undecided.fact in _NEEDS[rule_id] if rule_id in _NEEDS else True


@dataclass(frozen=True)
class Evaluation:
    """What can be said about a workload. ``refusals`` are the engine's own objections beside size, ``answer`` the sum.

    ``sizing`` asks for at most the model's maximum context: what is beyond it is another rule's matter.
    """

    undecided: tuple[Undecided, ...]
    engine: Engine | None = None
    model: Model | None = None
    sizing: Sizing | None = None
    answer: Fit | None = None
    refusals: tuple[Finding, ...] = ()
    context: int | None = None
    """Tokens of one request as the manifest has it."""

    def open_for(self, rule_id: str) -> bool:
        """Whether nothing that this rule needs is undecided."""
        return not any(blocks(each, rule_id) for each in self.undecided)

    @property
    def does_not_fit(self) -> bool:
        """Whether one full-length request (all slots, for an engine that reserves them) surely cannot be held."""
        return self._starts is Verdict.DOES_NOT_FIT

    @property
    def too_close(self) -> bool:
        """Whether the engine starts on some nodes and not on others, as far as the sum can tell."""
        return self._starts is Verdict.UNKNOWN

    @property
    def _starts(self) -> Verdict | None:
        if self.answer is None or self.engine is None or self.sizing is None:
            return None
        memory = self.answer.memory
        return self.answer.verdict if memory is None else starts(self.engine, self.sizing, memory)


@lru_cache(maxsize=64)
def evaluate(workload: Workload) -> Evaluation:
    """Size a workload as far as its manifest allows: once, however many rules ask."""
    undecided = list(workload.undecided)
    observed = workload.observed
    if observed is None:
        if workload.engine:
            name = catalog().engine(workload.engine).name
            undecided.append(_of(workload, "engine", f"it is {name}, which cannot be read yet", ""))
        return Evaluation(tuple(undecided))
    engine = ENGINES[observed.engine]
    model, checkpoint = _model(workload, observed, undecided)
    if model is None:
        return Evaluation(tuple(undecided), engine)
    if model.max_position is None:
        undecided.append(_of(workload, "maximum context", f"it is not in the catalog for {model.id}", ""))
        return Evaluation(tuple(undecided), engine, model)
    try:
        shape_of(model)
    except Unsized as reason:
        undecided.append(_of(workload, "architecture", str(reason), ""))
    accelerator = _accelerator(workload, observed, engine, model, undecided)
    wanted = engine.sizing(observed, model, accelerator or Accelerator(None, 0))
    wanted = _stored(wanted, checkpoint)
    if wanted.quantization == "bf16" and served_as_float16(observed, wanted.accelerator.gpu):
        wanted = replace(wanted, quantization="fp16")
        if _refuses_float16(observed, model, wanted.accelerator.gpu):
            why = "the GPU has no bfloat16 and the engine takes no float16 of this model: 32 bit cannot be sized yet"
            undecided.append(_of(workload, "dtype", why, "a GPU of compute capability 8.0 or newer"))
    if not wanted.quantization:
        undecided.append(
            _of(
                workload, "quantization", "it is not told by the file name", "serve a file named like model-Q4_K_M.gguf"
            )
        )
    sizing = replace(wanted, context=min(wanted.context, model.max_position))
    found = Evaluation(tuple(undecided), engine, model, sizing, context=wanted.context)
    if accelerator is None or undecided or model.num_attention_heads % sizing.tensor_parallel:
        return found
    return _sized(workload, observed, found, engine, sizing)


def _sized(workload: Workload, observed: Observed, found: Evaluation, engine: Engine, sizing: Sizing) -> Evaluation:
    if sizing.context < 1:
        return replace(found, refusals=(_no_room(observed),))
    refusals = errors(engine.objections(sizing))
    utilization = observed.gpu_memory_utilization
    if utilization is not None and not 0 < utilization <= 1:
        message = f"gpu_memory_utilization {utilization:g} is not a share between 0 and 1"
        refusals += (Finding("utilization", "gpu_memory_utilization", message, "a share such as 0.9"),)
    if refusals:
        return replace(found, refusals=refusals)
    try:
        answer = fit(engine, sizing)
    except ModelberthError as reason:
        return replace(found, undecided=(_of(workload, "engine version", str(reason), "use a version of the catalog"),))
    if answer.memory is None and answer.verdict is Verdict.UNKNOWN:
        return replace(found, undecided=(_of(workload, "architecture", answer.why, ""),))
    sized = replace(found, answer=answer)
    unstated = _chosen_by_the_server(engine, observed, sizing)
    if sized.does_not_fit and unstated:
        why = f"it is left to the server, and the most it could choose does not fit: {answer.why}"
        stated = unstated if unstated.isupper() else f"--{unstated.replace('_', '-')}"
        return replace(found, undecided=(_of(workload, unstated, why, f"state {stated}"),))
    return sized


def served_as_float16(observed: Observed, gpu: Gpu | None) -> bool:
    """Whether bfloat16 weights are served as float16 on this GPU, which has no bfloat16."""
    since = FLOAT16_INSTEAD.get(observed.engine)
    if since is None or gpu is None or gpu.cc is None or gpu.cc >= _NO_BFLOAT16_BELOW:
        return False
    insists = observed.engine == "vllm" and observed.dtype not in (None, "auto")
    return key(observed.engine_version) >= key(since) and not insists


def _refuses_float16(observed: Observed, model: Model, gpu: Gpu | None) -> bool:
    given = compatibility.answer(observed.engine, observed.engine_version, "fp16", gpu, architecture=model.architecture)
    return given.kind is compatibility.Kind.NO


def _no_room(observed: Observed) -> Finding:
    message = f"{observed.context} tokens over {observed.slots} slots leave none for each"
    return Finding("context", "context", message, "a context of at least one token for each slot")


def _chosen_by_the_server(engine: Engine, observed: Observed, sizing: Sizing) -> str | None:
    """The first argument that a slot server would lower by itself (llama-server's --fit, on by default).

    Ollama states the context itself and leaves the layers to the same.
    """
    if not engine.reserves_context:
        return None
    by_flags = engine.context_flag.startswith("--")
    if observed.context is None and by_flags:
        return "ctx_size"
    if sizing.accelerator.gpu and observed.gpu_layers in (None, "auto"):
        return "n_gpu_layers" if by_flags else "LLAMA_ARG_N_GPU_LAYERS"
    return None


def _model(
    workload: Workload, observed: Observed, undecided: list[Undecided]
) -> tuple[Model | None, Checkpoint | None]:
    if observed.model is None or not _REPOSITORY.fullmatch(observed.model):
        if not any(each.fact in _MODEL for each in undecided):
            why = "it is not named by the arguments as a repository"
            undecided.append(_of(workload, "model", why, _NAMED_BY.get(observed.engine, _BY_NAME)))
        return None, None
    try:
        model = catalog().model(observed.model)
        rows = catalog().checkpoints(model.id, observed.quantization) if observed.quantization else ()
        return model, next((row for row in rows if row.format is Format.GGUF), None)
    except UnknownName as unknown:
        row = catalog().checkpoint(observed.model)
        if row is None:
            hint = f"; did you mean {' or '.join(unknown.suggestions)}?" if unknown.suggestions else ""
            undecided.append(_of(workload, "model", f"it is not in the catalog{hint}", "serve a model of the catalog"))
            return None, None
    same = catalog().checkpoints(row.model, observed.quantization or row.quantization.value)
    return catalog().model(row.model), next((each for each in same if each.repository == row.repository), None)


def _stored(sizing: Sizing, checkpoint: Checkpoint | None) -> Sizing:
    """The sizing of the files that are really loaded."""
    if checkpoint is None:
        return sizing
    stored = checkpoint.bytes if checkpoint.format is Format.GGUF else None
    quantization, repository = checkpoint.quantization.value, checkpoint.repository
    return replace(sizing, quantization=quantization, stored_bytes=stored, repository=repository)


def _accelerator(
    workload: Workload, observed: Observed, engine: Engine, model: Model, undecided: list[Undecided]
) -> Accelerator | None:
    if workload.mig_profile:
        return _slice(workload, workload.mig_profile, undecided)
    if workload.gpus is None:
        return None
    if workload.gpus == 0 or observed.gpu_layers == "0":
        return _host(workload, engine, undecided)
    if engine.spreads_unasked and (workload.replica_gpus or 0) > 1:
        undecided.append(
            _of(
                workload,
                "GPU split",
                "it is by layers over several GPUs, which cannot be sized yet",
                f"{GPU_RESOURCE}: 1",
            )
        )
    layers, total = observed.gpu_layers or "", model.num_layers or 0
    if layers.isdigit() and int(layers) <= total:
        undecided.append(
            _of(
                workload,
                "n_gpu_layers",
                "it leaves part of the model on the CPU, which cannot be sized yet",
                "--n-gpu-layers all",
            )
        )
    if workload.gpu is None:
        if not any(each.fact == "GPU" for each in undecided):
            why = "it is named by no node selector or required affinity as one kind that the catalog knows"
            undecided.append(Undecided(_pod_path(workload) + ".nodeSelector", "GPU", why, _BY_LABEL))
        return None
    gpu = catalog().gpu(workload.gpu)
    return Accelerator(gpu, gpu.visible_memory_bytes)


def _slice(workload: Workload, profile: str, undecided: list[Undecided]) -> Accelerator | None:
    """A slice of a GPU: of the kind that the nodes have, else of the only kind that is cut like that."""
    cut = [gpu for gpu in catalog().gpus() if profile in gpu.mig_profiles]
    kinds = [gpu for gpu in cut if workload.gpu in (None, gpu.id)]
    if len(kinds) != 1:
        why = f"it is a slice {profile} of one of {len(cut)} kinds that are cut like that"
        undecided.append(Undecided(_pod_path(workload) + ".nodeSelector", "GPU", why, _BY_LABEL))
        return None
    memory_gib = kinds[0].mig_profiles[profile].memory_gib
    if memory_gib is None:
        why = f"what a slice {profile} of {kinds[0].name} shows to an engine is not known"
        undecided.append(_of(workload, "slice's memory", why, "use a whole GPU, or a slice of another kind"))
        return None
    return Accelerator(kinds[0], int(memory_gib * GIB))


def _host(workload: Workload, engine: Engine, undecided: list[Undecided]) -> Accelerator | None:
    """The memory of a pod that computes on CPUs: its limit, else what its node leaves to pods."""
    if engine.needs_gpu:
        if workload.on_cpu_image:
            undecided.append(_of(workload, "memory", "it is that of a CPU, where this engine cannot be sized yet", ""))
        return None
    if workload.memory_limit_bytes:
        return Accelerator(None, workload.memory_limit_bytes)
    if any(each.fact == "memory limit" for each in undecided):
        return None
    if workload.machine:
        return Accelerator(None, usable_memory_bytes(node_profile(workload.machine)))
    path = f"{workload.path}.resources.limits.memory"
    undecided.append(Undecided(path, "memory limit", "it is not stated", "state resources.limits.memory"))
    return None


def _pod_path(workload: Workload) -> str:
    return workload.path.rpartition(".containers")[0]


def _of(workload: Workload, fact: str, why: str, remedy: str) -> Undecided:
    return Undecided(workload.arguments_path, fact, why, remedy)


def context_argument(engine: Engine, sizing: Sizing, context: int) -> str:
    """How the engine is told to hold requests of ``context`` tokens: by its flag, in total where slots share it, or by
    its environment.
    """
    if not engine.context_flag.startswith("--"):
        return f"{engine.context_flag}={context}"
    return f"{engine.context_flag} {context * (sizing.concurrency or 1) if engine.reserves_context else context}"
