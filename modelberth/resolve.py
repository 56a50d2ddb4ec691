"""Names into facts: which model, engine and version, which bytes, which machines are allowed. All problems at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from modelberth import exposure, scaling, unobtainable
from modelberth.catalog import Checkpoint, Format, Machine, Model, catalog
from modelberth.decision import Source
from modelberth.engines import ENGINES, Sizing, kept
from modelberth.engines.choice import automatic
from modelberth.errors import MACHINES_LISTED, UnknownName, suggest
from modelberth.features import NOTHING_BESIDE, Beside, Served, beside
from modelberth.findings import Finding, Level, errors
from modelberth.memory import Unsized, gguf_bytes, safetensors_bytes, shape_of, stored_as
from modelberth.names import Objective, Packaging, Spread
from modelberth.offered import any_pool, may_have
from modelberth.parallel import no_nodes
from modelberth.placement import accelerator_of, kind_of
from modelberth.spec import (
    EngineName,
    NodeLabels,
    PoolSpec,
    Quantization,
    ServiceSpec,
    StackSpec,
    Target,
)
from modelberth.weights import weights_findings

AUTO_GGUF = Quantization.Q4_K_M


@dataclass(frozen=True)
class Reason:
    """Why something was chosen."""

    subject: str
    choice: str
    why: str


@dataclass(frozen=True)
class Resolved:
    """One service with every name looked up."""

    model: Model
    engine: str
    engine_version: str
    quantization: str
    source: Source
    machines: tuple[Machine, ...]
    reasons: tuple[Reason, ...]
    without_gpu: tuple[Machine, ...] = ()
    """Machines that are allowed and that the engine is never planned on."""
    beside: Beside = NOTHING_BESIDE


def resolve(name: str, stack: StackSpec, locked_version: str | None = None) -> tuple[Resolved | None, list[Finding]]:
    """Look everything up. The first part is None when there are errors; findings may hold warnings too.

    ``locked_version`` is the engine version that was decided before: it holds where the spec states none.
    """
    spec, path = stack.services[name], f"services.{name}"
    problems = [*_names(spec, stack, path), *_traffic(spec, path)]
    model, checkpoint = _model(spec, path, problems)
    machines = tuple(_machines(spec, stack))
    if problems or model is None:
        return None, problems
    engine, engine_reason = _engine(spec, machines, checkpoint)
    version = _version(spec, stack, engine, path, problems, locked_version)
    quantization, quantization_reason = _quantization(spec, engine, model, checkpoint)
    source = _source(spec, path, engine, model, checkpoint, quantization, problems)
    without_gpu: tuple[Machine, ...] = ()
    if ENGINES[engine].needs_gpu:
        without_gpu = tuple(machine for machine in machines if kind_of(machine) == "cpu")
        machines = tuple(machine for machine in machines if kind_of(machine) != "cpu")
    if not machines:
        allowed = ", ".join(spec.accelerators) or "what the pools offer"
        message = f"no machine type for {engine} among {allowed}"
        problems.extend(_unobtainable(spec, stack, path) or [Finding("no-machine", path, message, _offers(stack))])
    problems.extend(weights_findings(spec, stack, engine, path))
    problems.extend(_spread(spec, stack, path))
    problems.extend(_api_key(spec, engine, path))
    problems.extend(_packaging(spec, engine, version, path))
    problems.extend(_nodes(spec, engine, path))
    problems.extend(_extra_args(spec, engine, version, path))
    problems.extend(scaling.objections(spec, stack, engine, version, path))
    problems.extend(errors(exposure.findings(spec, engine, path)))
    served = Served(engine, version, model, quantization, stack.weights_of(spec).kind)
    carried = beside(spec, served, path, problems)
    if problems or source is None:
        return None, problems
    reasons = (engine_reason, quantization_reason)
    resolved = Resolved(model, engine, version, quantization, source, machines, reasons, without_gpu, carried)
    problems.extend(_objections(spec, resolved, path))
    return resolved, problems


def _names(spec: ServiceSpec, stack: StackSpec, path: str) -> Iterator[Finding]:
    for field, known in (("pool", stack.pools), ("weights", stack.weights)):
        wanted = getattr(spec, field)
        if wanted is not None and wanted not in known:
            hint = _did_you_mean(suggest(wanted, known))
            listed = ", ".join(sorted(known)) or "none are defined"
            yield Finding(
                "name",
                f"{path}.{field}",
                f"no {field} is called {wanted!r}{hint}",
                f"modelberth:{field}s: {listed}" if field == "pool" else f"modelberth:weights: {listed}",
            )
    yield from _accelerator_names(spec.accelerators, path)
    for pool_name, pool in stack.pools.items():
        if spec.pool in (None, pool_name):
            yield from _pool_names(pool_name, pool, stack.target)


def _unobtainable(spec: ServiceSpec, stack: StackSpec, path: str) -> tuple[Finding, ...]:
    """Why none of the pools that a service may use can have a machine, where each of them says why."""
    pools = {name: pool for name, pool in stack.pools.items() if spec.pool in (None, name)}
    if not pools:
        return unobtainable.without_pools(path, spec.accelerators, stack.target)
    why = [unobtainable.objections(name, pool, stack.target) for name, pool in pools.items()]
    return tuple(finding for found in why for finding in found) if all(why) else ()


def _accelerator_names(accelerators: tuple[str, ...], path: str) -> Iterator[Finding]:
    known = [gpu.id for gpu in catalog().gpus()]
    for accelerator in accelerators:
        if accelerator != "cpu" and accelerator not in known:
            message = f"unknown accelerator {accelerator!r}{_did_you_mean(suggest(accelerator, known))}"
            yield Finding("accelerator", f"{path}.accelerators", message, f"cpu, or {', '.join(known)}")


def _traffic(spec: ServiceSpec, path: str) -> Iterator[Finding]:
    traffic = spec.traffic
    if traffic is None and spec.objective is not Objective.COST_PER_HOUR:
        message = f"{spec.objective} follows from the lengths of prompts and answers, and none are stated"
        out = "traffic: {input_tokens: 1000, output_tokens: 300}, for example, or objective: cost_per_hour"
        yield Finding("traffic", f"{path}.traffic", message, out)
    if traffic and traffic.input_tokens + traffic.output_tokens > spec.context:
        message = f"{traffic.input_tokens} + {traffic.output_tokens} tokens are more than the context {spec.context}"
        yield Finding("traffic", f"{path}.traffic", message, "shorter prompts or answers, or a longer context")


def _pool_names(name: str, pool: PoolSpec, target: Target) -> Iterator[Finding]:
    path, accelerators = f"pools.{name}", pool.accelerators
    if not pool.machine_types and not target.makes_pools:
        out = "machine_types: [g2-standard-8], for example"
        yield Finding("pool", f"{path}.machine_types", "is required: the cluster exists, say what its nodes are", out)
    yield from _accelerator_names(accelerators, path)
    for machine_id in pool.machine_types:
        try:
            machine = catalog().machine(machine_id)
        except UnknownName as unknown:
            yield Finding("machine", f"{path}.machine_types", str(unknown), MACHINES_LISTED)
            continue
        kind = kind_of(machine)
        if kind not in accelerators:
            has = "no GPU" if kind == "cpu" else kind
            message = f"{machine_id} has {has}, the pool's accelerators are {', '.join(accelerators)}"
            yield Finding("machine", f"{path}.machine_types", message, "make the two agree")
    yield from unobtainable.strangers(name, pool, target)


def _model(spec: ServiceSpec, path: str, problems: list[Finding]) -> tuple[Model | None, Checkpoint | None]:
    try:
        return catalog().model(spec.model.id), None
    except UnknownName as unknown:
        first = catalog().checkpoint(spec.model.id)
        if first:
            return catalog().model(first.model), _file_of(first, spec.quantization)
        out = "a model id of the catalog (modelberth models lists them)"
        problems.append(Finding("model", f"{path}.model", str(unknown), out))
        return None, None


def _files_of(row: Checkpoint) -> list[Checkpoint]:
    """Every file of a checkpoint's repository."""
    return [each for each in catalog().checkpoints(row.model) if each.repository == row.repository]


def _file_of(first: Checkpoint, wanted: Quantization) -> Checkpoint:
    """The file of a repository in the format that is wanted: GGUF repositories hold one file per quantization."""
    preferred = AUTO_GGUF if wanted is Quantization.AUTO else wanted
    return next((row for row in _files_of(first) if row.quantization.value == preferred.value), first)


def _machines(spec: ServiceSpec, stack: StackSpec) -> Iterator[Machine]:
    pools = [pool for name, pool in stack.pools.items() if spec.pool in (None, name)]
    cloud = stack.target.node_labels.value if stack.target.node_labels in (NodeLabels.GCP, NodeLabels.AWS) else None
    elsewhere = stack.pools and not stack.target.makes_pools
    own = catalog().machines(cloud=NodeLabels.GENERIC.value) if elsewhere else ()
    named = {machine_id for pool in pools for machine_id in pool.machine_types}
    choosing = [pool for pool in pools if not pool.machine_types] if stack.target.makes_pools else []
    for machine in (*catalog().machines(cloud=None if elsewhere else cloud), *own):
        if stack.pools:
            in_pools = machine.id in named or (choosing and any(may_have(p, machine, stack.target) for p in choosing))
        else:
            in_pools = any_pool(stack.target, machine)
        if in_pools and (not spec.accelerators or kind_of(machine) in spec.accelerators):
            yield machine


def _engine(spec: ServiceSpec, machines: tuple[Machine, ...], checkpoint: Checkpoint | None) -> tuple[str, Reason]:
    if spec.engine is not EngineName.AUTO:
        return spec.engine.value, Reason("engine", spec.engine.value, "as stated")
    gguf = spec.quantization.is_gguf or (checkpoint is not None and checkpoint.format is Format.GGUF)
    gpus = not machines or any(kind_of(machine) != "cpu" for machine in machines)
    engine, why = automatic(gguf=gguf, gpus=gpus)
    return engine, Reason("engine", engine, why)


def _version(
    spec: ServiceSpec, stack: StackSpec, engine: str, path: str, problems: list[Finding], locked: str | None
) -> str:
    facts = catalog().engine(engine)
    default = stack.defaults.engine_versions.get(EngineName(engine), locked or facts.default_version)
    version = spec.engine_version or default
    where = f"{path}.engine_version" if spec.engine_version else f"defaults.engine_versions.{engine}"
    problems.extend(_unknown_version(engine, version, where))
    return version


def unknown_versions(stack: StackSpec) -> Iterator[Finding]:
    """Versions of the stack's defaults that are not known, whether or not a service uses that engine."""
    for engine, version in stack.defaults.engine_versions.items():
        yield from _unknown_version(engine.value, version, f"defaults.engine_versions.{engine.value}")


def _unknown_version(engine: str, version: str, where: str) -> Iterator[Finding]:
    facts = catalog().engine(engine)
    if version not in facts.versions:
        message = f"flags and defaults of {facts.name} {version!r} are not known"
        yield Finding("engine-version", where, message, f"one of {', '.join(facts.versions)}")


def _quantization(spec: ServiceSpec, engine: str, model: Model, checkpoint: Checkpoint | None) -> tuple[str, Reason]:
    if checkpoint:
        stored = checkpoint.quantization.value
        return stored, Reason("quantization", stored, f"what {checkpoint.repository} stores")
    if spec.quantization is not Quantization.AUTO:
        return spec.quantization.value, Reason("quantization", spec.quantization.value, "as stated")
    if ENGINES[engine].reads_gguf:
        return AUTO_GGUF.value, Reason(
            "quantization", AUTO_GGUF.value, "the usual compromise for GGUF on CPUs and small GPUs"
        )
    native = model.quantization.value if model.quantization else "bf16"
    return native, Reason("quantization", native, "what the model's own repository stores")


def _source(
    spec: ServiceSpec,
    path: str,
    engine: str,
    model: Model,
    checkpoint: Checkpoint | None,
    quantization: str,
    problems: list[Finding],
) -> Source | None:
    """The repository (and file) that holds the model in this format."""
    native = model.quantization.value if model.quantization else "bf16"
    sixteen_bit = {"bf16", "fp16"}
    own = quantization == native or {quantization, native} <= sixteen_bit
    if checkpoint and spec.quantization not in (Quantization.AUTO, Quantization(quantization)):
        stored = ", ".join(sorted(row.quantization.value for row in _files_of(checkpoint)))
        message = f"{checkpoint.repository} stores {stored}"
        problems.append(Finding("quantization", f"{path}.quantization", message, "one of these, or auto"))
        return None
    rows = (checkpoint,) if checkpoint else () if own else catalog().checkpoints(spec.model.id, quantization)
    row = next(iter(rows), None)
    try:
        shape = shape_of(model)
        if Quantization(quantization).is_gguf:
            computed = gguf_bytes(shape, quantization)
        else:
            computed = safetensors_bytes(shape, stored_as(model, quantization, row, None))
    except Unsized as reason:
        out = "serve a model whose parts the catalog knows; nothing is guessed for the others"
        problems.append(Finding("unknown", f"{path}.model", f"verdict unknown: {reason}", out))
        return None
    if row is not None and spec.model.revision and not checkpoint:
        message = f"belongs to {spec.model.id}, the {quantization} weights come from {row.repository}"
        out = f"model: {{id: {row.repository}, revision: its commit}}"
        problems.append(Finding("revision", f"{path}.model.revision", message, out))
        return None
    if row is not None:
        return Source(
            repository=row.repository,
            file=row.file,
            revision=spec.model.revision or row.revision,
            stored_bytes=row.bytes or computed,
        )
    if own or (quantization in ENGINES[engine].quantizes_to and native in sixteen_bit):
        native_bytes = model.weights_bytes or safetensors_bytes(shape, stored_as(model, native, None, None))
        revision = spec.model.revision or (model.revision if spec.model.id == model.id else None)
        return Source(repository=spec.model.id, revision=revision, stored_bytes=native_bytes)
    if Quantization(quantization).is_gguf != ENGINES[engine].reads_gguf:
        return Source(repository=spec.model.id, revision=spec.model.revision, stored_bytes=computed)
    known = sorted({row.quantization.value for row in catalog().checkpoints(spec.model.id)})
    message = f"no {quantization} checkpoint of {spec.model.id} is known"
    out = f"known: {', '.join(known)}" if known else "name a repository that holds it as model"
    problems.append(Finding("checkpoint", f"{path}.quantization", message, out))
    return None


def _spread(spec: ServiceSpec, stack: StackSpec, path: str) -> Iterator[Finding]:
    """Zones that replicas must be spread over and that no pool has."""
    pools = [pool for name, pool in stack.pools.items() if spec.pool in (None, name)]
    most = max((len(pool.zones or stack.target.zones) for pool in pools), default=2)
    if spec.spread is Spread.ZONES and spec.most_replicas > 1 and most < 2:
        message = f"{spec.most_replicas} replicas cannot be spread over zones: no pool states two zones or more"
        yield Finding("spread", f"{path}.spread", message, "zones: [A, B] of the pool, or spread: nodes")


def _api_key(spec: ServiceSpec, engine: str, path: str) -> Iterator[Finding]:
    facts = catalog().engine(engine)
    if spec.api_key and not facts.has_api_key:
        message = f"{facts.name} knows no API key: whoever reaches its port may use it"
        yield Finding(
            "api-key", f"{path}.api_key", message, "leave it out, and put a gateway that asks for one before it"
        )


def _packaging(spec: ServiceSpec, engine: str, version: str, path: str) -> Iterator[Finding]:
    """What Triton is asked for and does not do."""
    if spec.packaging is not Packaging.TRITON:
        return
    facts, where = catalog().engine(engine), f"{path}.packaging"
    if facts.triton_image is None:
        message = f"{facts.name} is started by its own server only"
        yield Finding("packaging", where, message, "leave it out, or engine: tensorrt_llm")
    elif version not in facts.triton_releases:
        known = ", ".join(facts.triton_releases)
        yield Finding("packaging", where, f"no Triton release with {facts.name} {version} is known", f"one of {known}")
    elif spec.extra_args:
        message = "Triton takes other arguments than trtllm-serve, and those are not known"
        yield Finding("packaging", f"{path}.extra_args", message, "leave them out, or packaging: serve")
    elif spec.expose:
        message = "a door lets through the OpenAI-compatible API, and Triton has another one"
        yield Finding("packaging", where, message, "packaging: serve, or no expose")


def _nodes(spec: ServiceSpec, engine: str, path: str) -> Iterator[Finding]:
    """Several nodes for one copy, asked of an engine that is not started so."""
    why = no_nodes(engine)
    if (spec.pipeline_parallel or 1) > 1 and why:
        out = "leave it out, or engine: vllm or sglang"
        yield Finding("pipeline-parallel", f"{path}.pipeline_parallel", f"{engine} does not share a model: {why}", out)


def _extra_args(spec: ServiceSpec, engine: str, version: str, path: str) -> Iterator[Finding]:
    for word in ENGINES[engine].managed_flags(spec.extra_args):
        message = f"{word} is set from the spec itself"
        yield Finding("extra-args", f"{path}.extra_args", message, "remove it and set the field of the spec")
    for word, why in kept.among(engine, spec.extra_args, catalog().engine(engine).default_version):
        yield Finding("extra-args", f"{path}.extra_args", f"{word} is not handed through: {why}", "leave it out")
    for word in ENGINES[engine].unknown_flags(spec.extra_args, version):
        message = f"{engine} {version} does not take {word}"
        yield Finding("extra-args", f"{path}.extra_args", message, "correct or remove it; the engine would not start")


def _objections(spec: ServiceSpec, resolved: Resolved, path: str) -> Iterator[Finding]:
    """Errors that the engine raises on every machine allowed: they belong to a field, not to a machine."""
    engine = ENGINES[resolved.engine]
    common: dict[tuple[str, str], Finding] | None = None
    for machine in {machine.gpu: machine for machine in resolved.machines if not machine.gpu_slice}.values():
        sizing = Sizing(
            model=resolved.model,
            engine_version=resolved.engine_version,
            quantization=resolved.quantization,
            accelerator=accelerator_of(machine),
            context=spec.context,
            concurrency=spec.concurrency,
            tensor_parallel=spec.tensor_parallel or 1,
            pipeline_parallel=spec.pipeline_parallel or 1,
            kv_cache_dtype=spec.kv_cache_dtype.value,
            extras=resolved.beside.extras,
        )
        found = {(f.path, f.message): f for f in engine.objections(sizing) if f.level is Level.ERROR}
        common = found if common is None else {key: f for key, f in common.items() if key in found}
    for finding in (common or {}).values():
        yield Finding(finding.code, f"{path}.{finding.path}", finding.message, finding.remedy)


def _offers(stack: StackSpec) -> str:
    offered = "; ".join(f"{name}: {', '.join(pool.accelerators)}" for name, pool in sorted(stack.pools.items()))
    return f"pools offer {offered}" if offered else "accelerators of the catalog"


def _did_you_mean(names: tuple[str, ...]) -> str:
    return f"; did you mean {names[0]!r}?" if names else ""
