"""Features that a spec asks for beside a model: whether the engine is started with them, and what of them is decided.

Which engine has which feature is data (modelberth.compatibility, features.yaml); what no row launches is refused.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from modelberth import compatibility
from modelberth.catalog import Checkpoint, Model, catalog
from modelberth.decision import Adapter, Decision, Drafting, Source
from modelberth.engines import ENGINES
from modelberth.engines.beside import extras_of
from modelberth.errors import UnknownName, suggest
from modelberth.fields import LONGEST_WITH_ADAPTER
from modelberth.findings import Finding, Level
from modelberth.memory import Unsized, safetensors_bytes, shape_of
from modelberth.memory.adapters import adapter_bytes
from modelberth.names import Packaging, SpeculativeMethod
from modelberth.observed import Extras
from modelberth.parts import Adapter as Wished
from modelberth.parts import ModelRef, Speculative
from modelberth.spec import ServiceSpec, WeightsKind

MOST_ADAPTERS = 64
"""Adapters of one service: each has a slot in the memory of every GPU and a place in the weights volume."""

_NAME = r"(?!\.+(?:/|$))[\w.-]{1,96}"
REPOSITORY = re.compile(rf"{_NAME}/{_NAME}", re.ASCII)
FILE = re.compile(rf"({_NAME}/{_NAME})/([\w.-]{{1,200}}\.gguf)", re.ASCII)

VOCABULARY_SLACK = {"llamacpp": 128}
"""Entries by which the vocabularies of model and draft may differ (ggml-org/llama.cpp@b11434, common/speculative.cpp,
SPEC_VOCAB_MAX_SIZE_DIFFERENCE); other engines refuse any difference."""


@dataclass(frozen=True)
class Served:
    """Who serves what: everything that features depend on."""

    engine: str
    version: str
    model: Model
    quantization: str
    storage: WeightsKind

    @property
    def reads_gguf(self) -> bool:
        """Whether adapters and drafts are GGUF files."""
        return ENGINES[self.engine].reads_gguf


@dataclass(frozen=True)
class Beside:
    """What is decided about features; None where a spec asks for none."""

    adapters: tuple[Adapter, ...] | None = None
    speculative: Drafting | None = None
    kv_offload_gib: int | None = None

    @property
    def extras(self) -> Extras:
        """The same as memory depends on it."""
        return extras_of(self.adapters, self.speculative, self.kv_offload_gib)

    @property
    def stored_bytes(self) -> int:
        """What is downloaded beside the model."""
        drafts = (self.speculative.source,) if self.speculative and self.speculative.source else ()
        return sum(source.stored_bytes for source in (*(each.source for each in self.adapters or ()), *drafts))


NOTHING_BESIDE = Beside()


def beside(spec: ServiceSpec, served: Served, path: str, problems: list[Finding]) -> Beside:
    """Everything asked for beside the model, looked up; what stands in the way joins ``problems``."""
    before = len(problems)
    problems.extend(_offered(spec, served, path))
    problems.extend(_parsers(spec, served, path))
    problems.extend(_adapters(spec, served, path))
    problems.extend(_stored(spec, served, path))
    offered = not any(finding.code == "feature" for finding in problems[before:])
    drafting = _drafting(spec, served, path, problems) if offered else None
    if len(problems) > before:
        return Beside()
    adapters = tuple(_adapter(each, served) for each in spec.adapters)
    return Beside(adapters or None, drafting, spec.kv_offload_gib)


def asked(spec: ServiceSpec) -> Iterator[tuple[str, str]]:
    """(field of the spec, feature) for everything that is asked for."""
    if spec.adapters:
        yield "adapters", "multi_lora"
    if spec.runtime_adapter_loading:
        yield "runtime_adapter_loading", "runtime_adapters"
    if spec.speculative:
        yield "speculative.method", spec.speculative.method.value
    if spec.tool_call_parser:
        yield "tool_call_parser", "tool_calls"
    if spec.reasoning_parser:
        yield "reasoning_parser", "reasoning"
    if spec.kv_offload_gib:
        yield "kv_offload_gib", "kv_offload"


LABELS = {
    "multi_lora": "adapters",
    "runtime_adapters": "loading adapters while it runs",
    "draft_model": "a draft model",
    "ngram": "n-gram drafts",
    "eagle": "EAGLE drafts",
    "eagle3": "EAGLE-3 drafts",
    "mtp": "drafts of the model's own layers",
    "tool_calls": "a tool call parser",
    "reasoning": "a reasoning parser",
    "kv_offload": "KV cache in the node's memory",
}


def _offered(spec: ServiceSpec, served: Served, path: str) -> Iterator[Finding]:
    for field, feature in asked(spec):
        if spec.packaging is Packaging.TRITON:
            message = f"Triton is not started with {LABELS[feature]}"
            yield Finding("feature", f"{path}.{field}", message, "packaging: serve")
            continue
        row = compatibility.feature(served.engine, feature)
        if row is None or not row.launched:
            name = catalog().engine(served.engine).name
            why = (row.note if row else "") or "nobody has checked it"
            message = f"{name} is not started with {LABELS[feature]}: {why}"
            yield Finding("feature", f"{path}.{field}", message, (row.remedy if row else "") or "engine vllm")


def _parsers(spec: ServiceSpec, served: Served, path: str) -> Iterator[Finding]:
    for field in ("tool_call_parser", "reasoning_parser"):
        wanted = getattr(spec, field)
        known = compatibility.parsers(served.engine, served.version, field)
        if wanted and known and wanted not in known:
            near = suggest(wanted, known)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            message = f"{served.engine} {served.version} has no such parser{hint}"
            yield Finding("parser", f"{path}.{field}", message, f"one of {', '.join(known)}")


def _adapters(spec: ServiceSpec, served: Served, path: str) -> Iterator[Finding]:
    if spec.runtime_adapter_loading and not spec.adapters:
        message = "needs at least one adapter: its rank is that of the slots that others are loaded into"
        yield Finding("adapters", f"{path}.runtime_adapter_loading", message, "adapters: [...]")
    if len(spec.adapters) > MOST_ADAPTERS:
        message = f"{len(spec.adapters)} adapters are more than one service holds"
        yield Finding(
            "adapters", f"{path}.adapters", message, f"at most {MOST_ADAPTERS}, the others in another service"
        )
        return
    room, service = LONGEST_WITH_ADAPTER, path.removeprefix("services.")
    times = Counter(adapter.name for adapter in spec.adapters)
    for index, adapter in enumerate(spec.adapters):
        here = f"{path}.adapters[{index}]"
        if times[adapter.name] > 1:
            yield Finding("adapters", f"{here}.name", f"{adapter.name} names {times[adapter.name]} adapters", "rename")
        if len(service) + len(adapter.name) > room:
            message = f"{len(service)} characters of {service} and {len(adapter.name)} of the adapter are too many"
            out = f"at most {room} together, for the name of the Job that fetches it"
            yield Finding("adapters", f"{here}.name", message, out)
        if adapter.name in (spec.model.id, served.model.id, *served.model.aliases):
            yield Finding("adapters", f"{here}.name", "is the name of the model itself", "rename the adapter")
        if not (FILE if served.reads_gguf else REPOSITORY).fullmatch(adapter.source):
            wanted = "owner/repository/file.gguf" if served.reads_gguf else "owner/repository"
            message = f"must be a repository of {'a GGUF file' if served.reads_gguf else 'safetensors'}"
            yield Finding("adapters", f"{here}.source", message, wanted)


def _stored(spec: ServiceSpec, served: Served, path: str) -> Iterator[Finding]:
    """Adapters are fetched into a volume that is filled; a draft model can also be downloaded by the pods."""
    if served.storage in (WeightsKind.CLAIM, WeightsKind.BUCKET, WeightsKind.AUTO):
        return
    fills = "weights of kind claim, which a Job fills with pinned revisions"
    if spec.adapters:
        why = {
            WeightsKind.HUB: "pods that download for themselves cannot be told an adapter's revision",
            WeightsKind.EXISTING_CLAIM: "a claim that exists is not written to",
            WeightsKind.STREAM: "adapters are read as files, not from a bucket",
        }[served.storage]
        yield Finding("adapters", f"{path}.adapters", why, fills)
    drafts = spec.speculative and spec.speculative.model
    if drafts and served.storage in (WeightsKind.EXISTING_CLAIM, WeightsKind.STREAM):
        why = "a claim that exists is not written to"
        if served.storage is WeightsKind.STREAM:
            why = "a draft model is read as files, not from a bucket"
        yield Finding("speculative", f"{path}.speculative.model", why, fills)


def _adapter(wished: Wished, served: Served) -> Adapter:
    repository, file = wished.source, None
    if found := FILE.fullmatch(wished.source):
        repository, file = found[1], found[2]
    size = adapter_bytes(shape_of(served.model), wished.rank)
    source = Source(repository=repository, file=file, revision=wished.revision, stored_bytes=size)
    return Adapter(name=wished.name, source=source, rank=wished.rank)


def _drafting(spec: ServiceSpec, served: Served, path: str, problems: list[Finding]) -> Drafting | None:
    wished = spec.speculative
    if wished is None:
        return None
    problems.extend(_own_layers(wished, served, path))
    if wished.model is None:
        return Drafting(method=wished.method, tokens=wished.tokens)
    here = f"{path}.speculative.model"
    found = _draft(wished.model, served, here, problems)
    if found is None:
        return None
    row, file = found
    if file and wished.model.revision and wished.model.id != file.repository:
        message = f"belongs to {wished.model.id}, the {file.quantization.value} weights come from {file.repository}"
        out = f"model: {{id: {file.repository}, revision: its commit}}"
        problems.append(Finding("revision", f"{here}.revision", message, out))
        return None
    problems.extend(_vocabularies(row, served, here))
    source = _draft_source(wished.model, row, file, here, problems)
    if source is None:
        return None
    stored = file.quantization.value if file else None
    return Drafting(
        method=wished.method, tokens=wished.tokens, model=wished.model.id, quantization=stored, source=source
    )


def _own_layers(wished: Speculative, served: Served, path: str) -> Iterator[Finding]:
    """A model drafts by itself with all its layers for it, once or several times (vLLM 0.28.0 to 0.33.0)."""
    if wished.method is not SpeculativeMethod.MTP:
        return
    layers = served.model.mtp_layers or 0
    if not layers:
        message = f"no layers of {served.model.id} that draft (multi-token prediction) are known"
        yield Finding("speculative", f"{path}.speculative.method", message, "method ngram, or a model that has some")
    elif wished.tokens % layers:
        message = f"{served.model.id} drafts {layers} tokens at a time, {wished.tokens} are no multiple of that"
        yield Finding("speculative", f"{path}.speculative.tokens", message, f"tokens: {layers}")


def _draft(
    named: ModelRef, served: Served, here: str, problems: list[Finding]
) -> tuple[Model, Checkpoint | None] | None:
    """The model that drafts, and its file for an engine that reads GGUF."""
    try:
        row = catalog().model(named.id)
    except UnknownName as unknown:
        first = catalog().checkpoint(named.id)
        if first is None:
            message = f"its weights cannot be sized: {unknown}"
            problems.append(Finding("unknown", here, message, "a draft of the catalog, or method ngram"))
            return None
        row = catalog().model(first.model)
        if not served.reads_gguf:
            stored, name = first.quantization.value, catalog().engine(served.engine).name
            message = f"{first.repository} stores {stored}, and {name} is planned with drafts of 16 bit only"
            problems.append(Finding("checkpoint", here, message, f"model: {row.id}, or method ngram"))
            return None
    if not served.reads_gguf:
        native = row.quantization.value if row.quantization else "bf16"
        if native not in ("bf16", "fp16"):
            message = f"{row.id} is stored as {native}, and only drafts of 16 bit are sized"
            problems.append(Finding("checkpoint", here, message, "a draft of 16 bit, or method ngram"))
            return None
        return row, None
    files = [each for each in catalog().checkpoints(row.id) if each.quantization.is_gguf and each.file]
    same = [each for each in files if each.quantization.value == served.quantization]
    if not same:
        known = ", ".join(sorted({each.quantization.value for each in files})) or "none"
        message = f"no {served.quantization} file of {row.id} is known"
        problems.append(Finding("checkpoint", here, message, f"known: {known}; the draft is stored as the model is"))
        return None
    return row, same[0]


def _vocabularies(row: Model, served: Served, here: str) -> Iterator[Finding]:
    """A draft proposes token numbers: they must mean the same to the model."""
    mine, theirs = served.model.vocab_size, row.vocab_size
    if mine is None or theirs is None:
        unknown = served.model.id if mine is None else row.id
        yield Finding("unknown", here, f"the vocabulary of {unknown} is not known", "another draft, or method ngram")
    elif abs(mine - theirs) > VOCABULARY_SLACK.get(served.engine, 0):
        message = f"{row.id} has a vocabulary of {theirs}, {served.model.id} one of {mine}"
        yield Finding("speculative", here, message, "a draft of the model's own family, or method ngram")


def _draft_source(
    named: ModelRef, row: Model, file: Checkpoint | None, here: str, problems: list[Finding]
) -> Source | None:
    if file is not None:
        revision = (named.revision if named.id == file.repository else None) or file.revision
        return Source(repository=file.repository, file=file.file, revision=revision, stored_bytes=file.bytes or 0)
    try:
        size = row.weights_bytes or safetensors_bytes(shape_of(row), "bf16")
    except Unsized as reason:
        problems.append(Finding("unknown", here, f"cannot be sized: {reason}", "another draft, or method ngram"))
        return None
    revision = named.revision or (row.revision if named.id == row.id else None)
    return Source(repository=named.id, revision=revision, stored_bytes=size)


def beyond(spec: ServiceSpec, decision: Decision) -> Iterator[str]:
    """What a spec asks of features that a locked decision does not give."""
    locked = {adapter.name: adapter for adapter in decision.adapters or ()}
    wanted = {adapter.name: adapter for adapter in spec.adapters}
    for name, adapter in wanted.items():
        if name not in locked:
            yield f"adapter {name} is not locked"
        elif (adapter.source, adapter.revision, adapter.rank) != _as_wished(locked[name]):
            yield f"adapter {name} is another one than the one locked"
    yield from (f"adapter {name} is locked, and no longer asked for" for name in locked if name not in wanted)
    drafting, drafted = spec.speculative, decision.speculative
    if (_draft_words(drafting) if drafting else "none") != (_locked_draft_words(drafted) if drafted else "none"):
        asks = _draft_words(drafting) if drafting else "none"
        yield f"speculative is {asks}, locked {_locked_draft_words(drafted) if drafted else 'none'}"
    revision, source = drafting.model.revision if drafting and drafting.model else None, drafted and drafted.source
    if revision and source and revision != source.revision:
        yield f"the draft's revision is {revision}, locked {source.revision}"
    if spec.kv_offload_gib != decision.kv_offload_gib:
        yield f"kv_offload_gib is {spec.kv_offload_gib}, locked {decision.kv_offload_gib}"


def _as_wished(locked: Adapter) -> tuple[str, str | None, int]:
    source = locked.source
    whole = f"{source.repository}/{source.file}" if source.file else source.repository
    return whole, source.revision, locked.rank


def _draft_words(wished: Speculative) -> str:
    return _words(wished.method, wished.tokens, wished.model.id if wished.model else None)


def _locked_draft_words(locked: Drafting) -> str:
    return _words(locked.method, locked.tokens, locked.model)


def _words(method: SpeculativeMethod, tokens: int, model: str | None) -> str:
    return f"{method} of {tokens} tokens" + (f" by {model}" if model else "")


def advice(spec: ServiceSpec, engine: str, path: str) -> Iterator[Finding]:
    """What a feature that is served means for those who use it."""
    if spec.runtime_adapter_loading:
        message = "whoever may send requests may load any adapter that the pod can read, and unload those of others"
        out = "leave it out, or set api_key and let no untrusted client reach the service"
        yield Finding("runtime-adapters", f"{path}.runtime_adapter_loading", message, out, Level.WARNING)
        if spec.most_replicas > 1:
            message = (
                "an adapter that is loaded through the Service reaches one replica, and is gone when that restarts"
            )
            out = "list it in adapters, or replicas: 1 and no autoscaling"
            yield Finding("runtime-adapters", f"{path}.runtime_adapter_loading", message, out, Level.WARNING)
    if spec.adapters and engine == "llamacpp":
        message = "requests choose an adapter by its number in this list (lora: [{id: 0, scale: 1}]), not by its name"
        out = "engine vllm serves each under its own name"
        yield Finding("adapters", f"{path}.adapters", message, out, Level.NOTE)
    method = spec.speculative.method if spec.speculative else None
    if method is SpeculativeMethod.NGRAM:
        message = "n-grams help where answers repeat their prompts, and cost a little where they do not"
        yield Finding("speculative", f"{path}.speculative", message, level=Level.NOTE)
