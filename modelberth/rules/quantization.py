"""Rules about formats: does the GPU compute in them, and does this engine in this version load them at all."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from modelberth import compatibility
from modelberth.catalog import Format, Gpu, Model, catalog
from modelberth.compatibility import Answer, Kind, Subject
from modelberth.engines import ENGINES
from modelberth.engines.base import Asked, image_parts, objection
from modelberth.engines.images import published_as
from modelberth.errors import UnknownName
from modelberth.findings import Finding, Level
from modelberth.manifests import Workload
from modelberth.node import fields_of
from modelberth.observed import UNKNOWN, Observed
from modelberth.resources import Pod, Resource
from modelberth.rules.base import ALWAYS, Rule, Settings, Severity
from modelberth.rules.evaluation import evaluate, served_as_float16

_FORMAT_FACTS = frozenset({"quantization", "quantize"})
_KV_FACTS = frozenset({"kv_cache_dtype", "cache_type_k", "cache_type_v", "OLLAMA_KV_CACHE_TYPE"})
_SIXTEEN_BIT = {"bfloat16": "bf16", "float16": "fp16", "half": "fp16"}
_CHOSEN = {
    "llamacpp": ("cache_type_k", "cache_type_v"),
    "sglang": ("quantization", "kv_cache_dtype", "dtype"),
    "tgi": ("quantize", "kv_cache_dtype", "dtype"),
    "vllm": ("quantization", "kv_cache_dtype", "dtype"),
}
"""Flags that choose a format, by the name that the engine's parser has for them."""
_ONLY_STORED = frozenset({"awq", "gptq"})
"""Formats that no engine makes of 16-bit weights: vLLM and SGLang then look for the checkpoint's own configuration and
refuse ("Cannot find the config file for awq", model_loader/weight_utils.py, get_quant_config)."""
_SAFETENSORS = re.compile(r".+\.(safetensors|bin|pt|pth)")
_PULLED = re.compile(r"\bollama\s+(?:run|pull)\s+[\"']?(?:hf\.co|huggingface\.co)/([\w.-]+/[\w.-]+)")


@dataclass(frozen=True)
class _Loads:
    """What a container loads, as far as it is known. ``quantization`` is empty where it is not."""

    engine: str
    version: str
    quantization: str
    kv_cache_dtype: str
    gpu: Gpu | None
    architecture: str | None

    def answers(self, gpu: Gpu | None) -> list[Answer]:
        """What the matrix says, without the format where it is not known."""
        given = compatibility.answers(
            self.engine, self.version, self.quantization, gpu, self.kv_cache_dtype, self.architecture
        )
        return [each for each in given if self.quantization or each.subject is not Subject.QUANTIZATION]

    def objection(self, answer: Answer) -> Finding | None:
        """One answer in words."""
        name = self.gpu.name if self.gpu else "CPU"
        engine = catalog().engine(self.engine).name
        return objection(Asked(engine, name, self.quantization, self.kv_cache_dtype), answer)


def _loads(workload: Workload) -> _Loads | None:
    observed = workload.observed
    if observed is None or observed.engine not in ENGINES:
        return None
    found = evaluate(workload)
    doubtful = {each.fact for each in found.undecided}
    quantization = found.sizing.quantization if found.sizing else observed.quantization
    if not found.sizing and not quantization:
        quantization = _SIXTEEN_BIT.get(observed.dtype or "")
    if doubtful & _FORMAT_FACTS or (observed.anonymous_path and not observed.quantization):
        quantization = ""
    kv = "auto" if doubtful & _KV_FACTS else observed.kv_cache_dtype or "auto"
    architecture = found.model.architecture if found.model else None
    gpu = catalog().gpu(workload.gpu) if workload.gpu and workload.gpus != 0 and observed.gpu_layers != "0" else None
    return _Loads(observed.engine, observed.engine_version, quantization or "", kv, gpu, architecture)


def _computes(resource: Resource, settings: Settings) -> Iterator[Finding]:
    for workload in resource.workloads:
        loads, observed = _loads(workload), workload.observed
        if loads is None or observed is None or loads.gpu is None:
            continue
        yield from _without_bfloat16(workload, observed, loads, loads.gpu)
        for answer in loads.answers(loads.gpu):
            said = loads.objection(answer)
            if said and said.level is Level.ERROR and (answer.of_this_gpu or answer.subject is Subject.ACCELERATOR):
                yield Finding("SZ-09", workload.arguments_path, f"does not start: {said.message}", _way(answer, loads))
            elif said and answer.kind is Kind.WEIGHT_ONLY:
                remedy = f"a GPU of compute capability {answer.native_from} or newer, or leave it as it is"
                yield Finding("SZ-09", workload.arguments_path, said.message, remedy, Level.WARNING)


def _way(answer: Answer, loads: _Loads) -> str:
    if answer.subject is Subject.QUANTIZATION and loads.quantization == "bf16":
        return "--dtype half, or a GPU of compute capability 8.0 or newer"
    return answer.remedy or "use a newer GPU"


def _without_bfloat16(workload: Workload, observed: Observed, loads: _Loads, gpu: Gpu) -> Iterator[Finding]:
    """An engine that must compute in bfloat16 stops; one that may choose takes float16 with its smaller range."""
    if gpu.cc is None or gpu.cc >= (8, 0) or loads.quantization == "bf16":
        return
    if observed.engine == "vllm" and observed.dtype == "bfloat16":
        message = f"does not start: bfloat16 needs compute capability 8.0, {gpu.name} has {gpu.compute_capability}"
        remedy = "--dtype half, or a GPU of compute capability 8.0 or newer"
        yield Finding("SZ-09", workload.arguments_path, message, remedy)
        return
    model = evaluate(workload).model
    stored = model.native_dtype if model else None
    doubtful = {fact for fact, _ in observed.undecided}
    falls_back = loads.quantization == "fp16" and stored in (None, "bfloat16") and "dtype" not in doubtful
    if falls_back and served_as_float16(observed, gpu) and observed.dtype not in ("half", "float16"):
        message = f"bfloat16 weights are served as float16 on {gpu.name}, whose range is smaller"
        remedy = "state --dtype half to say that this is meant, or use a GPU of compute capability 8.0 or newer"
        yield Finding("SZ-09", workload.arguments_path, message, remedy, Level.WARNING)


def _loaded(resource: Resource, settings: Settings) -> Iterator[Finding]:
    for pod in resource.pods:
        for workload in pod.serving:
            if workload.observed is not None:
                yield from _loads_format(pod, workload, workload.observed)


def _loads_format(pod: Pod, workload: Workload, observed: Observed) -> Iterator[Finding]:
    level = Level.ERROR if stock_image(pod, workload) else Level.WARNING
    wrong = list(_words(pod, workload, observed, level))
    yield from wrong or [
        *_of_every_gpu(workload, level),
        *_mismatch(workload, observed),
        *_no_gguf(pod, workload, observed),
    ]


def stock_image(pod: Pod, workload: Workload) -> bool:
    """Whether the image is the engine's own: any other may hold what that one lacks."""
    repository, _, _ = image_parts(pod.container_at(workload)["image"].text())
    return any(engine == workload.engine for engine, _ in published_as(repository))


def _words(pod: Pod, workload: Workload, observed: Observed, level: Level) -> Iterator[Finding]:
    """Words that the engine's parser or its configuration does not know."""
    parsed = ENGINES[observed.engine].line(pod.container_at(workload).value)
    for flag in _CHOSEN.get(observed.engine, ()) if parsed else ():
        said = parsed.values.get(flag) if parsed else None
        known = compatibility.choices(observed.engine, observed.engine_version, flag)
        if not isinstance(said, str) or said is UNKNOWN or known is None:
            continue
        spelled = f"--{flag.replace('_', '-')}"
        engine = f"{catalog().engine(observed.engine).name} {observed.engine_version}"
        if said in known.plugins:
            message = f"does not start: {spelled} {said} needs a plugin that the stock image of {engine} lacks"
            remedy = f"an image with the plugin, or {_without(said)}"
            yield Finding("SZ-10", workload.arguments_path, message, remedy, level)
        elif said in known.deprecated and "allow_deprecated_quantization" not in (parsed.values if parsed else ()):
            message = f"does not start: {engine} takes {spelled} {said} only with --allow-deprecated-quantization"
            yield Finding("SZ-10", workload.arguments_path, message, f"leave out {spelled}")
        elif said not in known.names:
            message = f"does not start: {spelled} names what {engine} does not know"
            remedy = f"leave out {spelled}, or one of {', '.join(known.names)}"
            yield Finding("SZ-10", workload.arguments_path, message, remedy, level)


def _without(name: str) -> str:
    return "engine llama.cpp for GGUF" if name == "gguf" else "a checkpoint in awq, gptq or fp8"


def _of_every_gpu(workload: Workload, level: Level) -> Iterator[Finding]:
    """What the engine refuses whatever the GPU: also where it is not known which one that is."""
    loads = _loads(workload)
    if loads is None:
        return
    on_host = workload.gpus == 0
    gpus = (
        [loads.gpu] if loads.gpu or on_host else [gpu for gpu in catalog().gpus() if gpu.vendor == "nvidia" and gpu.cc]
    )
    given = [[each for each in loads.answers(gpu) if each.subject is not Subject.ACCELERATOR] for gpu in gpus]
    for subject in (Subject.QUANTIZATION, Subject.KV_CACHE_DTYPE):
        about = [[each for each in answers if each.subject is subject] for answers in given]
        found = [answers[0] for answers in about if answers]
        refused = [each for each in found if each.kind in (Kind.NO, Kind.PLUGIN) and not each.of_this_gpu]
        if not found or len(refused) != len(found):
            continue
        said = loads.objection(refused[0])
        if said:
            remedy = said.remedy or "use another format, or another engine"
            softer = level if refused[0].kind is Kind.PLUGIN else Level.ERROR
            yield Finding("SZ-10", workload.arguments_path, f"does not start: {said.message}", remedy, softer)


def _mismatch(workload: Workload, observed: Observed) -> Iterator[Finding]:
    """A format that is asked for beside the one that the checkpoint is stored in."""
    asked = observed.quantization
    if observed.engine not in ("vllm", "sglang") or asked is None or observed.anonymous_path or not observed.model:
        return
    stored = _stored_in(observed.model)
    if stored is None or asked == stored:
        return
    if stored in ("bf16", "fp16"):
        if asked in _ONLY_STORED:
            message = f"does not start: the checkpoint holds 16-bit weights, and {asked} is not made while loading"
            yield Finding("SZ-10", workload.arguments_path, message, _checkpoint_in(observed.model, asked))
        return
    message = f"does not start: the checkpoint is stored in {stored}, the arguments say {asked}"
    yield Finding("SZ-10", workload.arguments_path, message, "leave out --quantization: the checkpoint says it")


def _stored_in(repository: str) -> str | None:
    row = catalog().checkpoint(repository)
    if row is not None:
        return row.quantization.value
    model = _model(repository)
    return model.quantization.value if model and model.quantization else None


def _checkpoint_in(repository: str, quantization: str) -> str:
    model = _model(repository)
    rows = catalog().checkpoints(model.id, quantization) if model else ()
    return f"leave out --quantization, or serve {rows[0].repository}" if rows else "leave out --quantization"


def _model(repository: str) -> Model | None:
    try:
        return catalog().model(repository)
    except UnknownName:
        return None


def _no_gguf(pod: Pod, workload: Workload, observed: Observed) -> Iterator[Finding]:
    """llama.cpp and Ollama read GGUF files."""
    if not ENGINES[observed.engine].reads_gguf:
        return
    container = pod.container_at(workload)
    engine = catalog().engine(observed.engine).name
    parsed = ENGINES[observed.engine].line(container.value)
    file = parsed.values.get("model") if parsed else None
    if isinstance(file, str) and _SAFETENSORS.fullmatch(file.lower()):
        message = f"does not start: {engine} reads GGUF files, and the model's file is none"
        yield Finding("SZ-10", workload.arguments_path, message, "convert the model to GGUF, or use engine vLLM")
    named = parsed.values.get("hf_repo") if parsed else None
    repositories = {named.partition(":")[0]} if isinstance(named, str) and named is not UNKNOWN else set[str]()
    if observed.engine == "ollama":
        repositories = set(_PULLED.findall(" ".join(_texts(container.value))))
    for repository in sorted(repositories):
        if _holds_no_gguf(repository):
            message = f"does not start: {engine} reads GGUF files, and the repository holds safetensors"
            yield Finding("SZ-10", workload.arguments_path, message, _in_gguf(repository))


def _holds_no_gguf(repository: str) -> bool:
    row, model = catalog().checkpoint(repository), _model(repository)
    if row is not None:
        return row.format is not Format.GGUF
    return model is not None and not any(
        each.repository == repository and each.format is Format.GGUF for each in catalog().checkpoints(model.id)
    )


def _in_gguf(repository: str) -> str:
    row, model = catalog().checkpoint(repository), _model(repository)
    id_ = row.model if row else model.id if model else ""
    known = sorted({each.repository for each in catalog().checkpoints(id_) if each.format is Format.GGUF})
    return f"a repository in GGUF such as {known[0]}" if known else "a repository in GGUF, or engine vLLM"


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for inner in fields_of(value).values():
        yield from _texts(inner)
    for inner in cast("list[object]", value) if isinstance(value, list | tuple) else ():
        yield from _texts(inner)


RULES = (
    Rule(
        id="SZ-09",
        name="gpu-computes-format",
        title="The GPU computes in the format of weights and cache",
        question="whether the GPU computes in the format of weights and cache",
        why="A format that the GPU has no units for stops the engine, or saves memory and no time.",
        remediation="Choose a format of the GPU's generation, or a GPU that computes in the format.",
        severity=Severity.HIGH,
        levels=ALWAYS,
        source="modelberth/catalog/compatibility; vLLM's own refusal: platforms/cuda.py, check_if_supports_dtype",
        check=_computes,
    ),
    Rule(
        id="SZ-10",
        name="engine-loads-format",
        title="The engine loads the format of weights and cache",
        question="whether the engine loads the format of weights and cache",
        why="Formats come and go between versions; an engine refuses at start what it does not know.",
        remediation="Use a checkpoint in a format that this version loads, or an engine that reads it.",
        severity=Severity.HIGH,
        levels=ALWAYS,
        source="vLLM's own refusal: config/model.py, _verify_quantization; modelberth/catalog/compatibility",
        check=_loaded,
    ),
)
