"""Findings about a decision that holds: budget, pins, what the engine only half does, what arguments change."""

from __future__ import annotations

from collections.abc import Iterator

from modelberth import exposure, features
from modelberth.catalog import Model, catalog
from modelberth.clouds import bucket_keys, fabrics
from modelberth.decision import Decision
from modelberth.engines import ENGINES, Launch
from modelberth.fabric import fabric_of
from modelberth.findings import Finding, Level
from modelberth.fit import Fit, Verdict
from modelberth.names import Packaging
from modelberth.offered import makes_nodes
from modelberth.placement import exchange_cost
from modelberth.spec import Profile, ServiceSpec, StackSpec


def advice(
    name: str, stack: StackSpec, decision: Decision, model: Model, answer: Fit, usd: float | None
) -> Iterator[Finding]:
    """Findings about a decision that holds: budget, pins, what the engine only half does."""
    spec, path = stack.services[name], f"services.{name}"
    if spec.budget and usd is None:
        message = f"no price is known for {decision.machine_type}, so the budget cannot be checked"
        yield Finding(
            "budget-unknown", f"{path}.budget", message, "name a machine type with a price, or drop the budget"
        )
    elif spec.budget and usd is not None and usd > spec.budget.usd_per_hour:
        message = f"{usd:.2f} USD per hour is over the budget of {spec.budget.usd_per_hour:.2f}"
        yield Finding("budget", f"{path}.budget", message, "raise the budget, lower replicas, context or concurrency")
    if decision.source.revision is None and decision.storage.kind != "existing-claim":
        prod = stack.profile_of(name) is Profile.PROD
        yield Finding(
            "revision",
            f"{path}.model.revision",
            f"{decision.source.repository} is not pinned: what is served changes when its default branch moves",
            f"set model: {{id: {decision.source.repository}, revision: the 40-digit commit}}",
            Level.ERROR if prod else Level.WARNING,
        )
    yield from _upstream(name, stack, decision)
    closed = bucket_keys.closed(stack.target, decision.storage.bucket) if decision.storage.bucket else None
    if closed:
        yield Finding("bucket-key", f"weights.{spec.weights}.bucket", *closed, Level.NOTE)
    if answer.verdict is Verdict.UNKNOWN:
        yield Finding("too-close", path, answer.why, "plan anew, or lower context or concurrency", Level.WARNING)
    if spec.packaging is Packaging.TRITON:
        message = "Triton answers its own API (/v2/models/tensorrt_llm/generate), not the OpenAI-compatible one"
        yield Finding("packaging", f"{path}.packaging", message, "packaging: serve", Level.WARNING)
    if _needs_token(spec, decision, model):
        message = f"{decision.source.repository} is gated: its hub gives it to accounts that accepted the licence"
        yield Finding(
            "gated", f"{path}.token", message, "token: {secret: NAME}, a Secret with a hub token", Level.WARNING
        )
    drafting = decision.speculative
    if drafting and drafting.source and drafting.source.revision is None:
        yield Finding(
            "revision",
            f"{path}.speculative.model.revision",
            f"{drafting.source.repository} is not pinned: what drafts changes when its default branch moves",
            f"set model: {{id: {drafting.source.repository}, revision: the 40-digit commit}}",
            Level.ERROR if stack.profile_of(name) is Profile.PROD else Level.WARNING,
        )
    yield from features.advice(spec, decision.engine, path)
    if spec.tensor_parallel and answer.memory:
        yield from _ranks_over_pcie(spec, path, decision, model)
    if decision.pipeline_parallel > 1:
        yield from _several_nodes(spec, stack, path, decision)
    yield from (each for each in exposure.findings(spec, decision.engine, path) if each.level is not Level.ERROR)
    yield from exposure.prefix_cache(spec, path)
    for note in answer.notes:
        if note.level is not Level.ERROR:
            yield Finding(note.code, f"{path}.{note.path}", note.message, note.remedy, note.level)


def _ranks_over_pcie(spec: ServiceSpec, path: str, decision: Decision, model: Model) -> Iterator[Finding]:
    """What a stated tensor parallel size costs where no NVLink joins the GPUs."""
    ranks, machine = decision.tensor_parallel, catalog().machine(decision.machine_type)
    cost = exchange_cost(machine, model, ranks, spec.context)
    if cost:
        out = "a machine type whose GPUs NVLink joins, or fewer ranks"
        yield Finding("no-nvlink", f"{path}.tensor_parallel", f"{ranks} ranks exchange {cost}", out, Level.WARNING)


def _several_nodes(spec: ServiceSpec, stack: StackSpec, path: str, decision: Decision) -> Iterator[Finding]:
    """What a copy that several nodes share needs of storage, cluster and network."""
    nodes, store = decision.pipeline_parallel, stack.weights_of(spec)
    if spec.kv_offload_gib:
        message = f"what each of {nodes} nodes holds of a KV cache in its own memory is not known"
        yield Finding(
            "kv-offload", f"{path}.kv_offload_gib", message, "leave it out, or a machine that holds the model"
        )
    if store.kind.attached and store.access_mode == "ReadWriteOnce":
        message = f"{nodes} nodes share a copy of the model, a ReadWriteOnce volume is attached to one node"
        out = "name weights of kind hub, or a claim with access_mode ReadWriteMany"
        yield Finding("storage", f"{path}.weights", message, out)
    message = f"{nodes} pods serve as one group: the cluster must have LeaderWorkerSet, it is not installed from here"
    yield Finding("leader-worker-set", path, message, "install it with its own chart or manifests", Level.NOTE)
    yield _joined(stack, path, decision)


def _joined(stack: StackSpec, path: str, decision: Decision) -> Finding:
    """Whether pods get devices of what joins their nodes, and what is left for the image to do."""
    fabric, made = fabric_of(catalog().machine(decision.machine_type)), makes_nodes(stack, decision.pool)
    devices = fabrics.devices(stack.target, decision.machine_type) if made else None
    if devices is None:
        message = (
            f"pods get no device of {fabric}: NCCL takes the pod network until nodes, image and pods are set up for it"
        )
        return Finding("fabric", path, message, "follow the cloud's guide for it, then measure", Level.NOTE)
    asked = ", ".join(f"{name} {count}" for name, count in devices.resources.items())
    message = f"each pod gets {asked}: NCCL uses {fabric} if the image has {devices.libraries}, else the pod network"
    out = "an image that has them (image:), then measure"
    return Finding("fabric", path, message, out, Level.NOTE)


def _upstream(name: str, stack: StackSpec, decision: Decision) -> Iterator[Finding]:
    """What an engine's makers left behind: no more fixes, an image that does not start in our pods."""
    facts, path = catalog().engine(decision.engine), f"services.{name}"
    if facts.archived:
        message = f"{facts.name} is archived upstream: it gets no fixes any more"
        successors = " or ".join(facts.successors)
        yield Finding("archived", f"{path}.engine", message, f"engine: {successors}", Level.WARNING)
    if facts.root_only and stack.services[name].image is None:
        message = (
            f"{facts.image('cuda', decision.engine_version)} does not start without root rights: {facts.root_only}"
        )
        level = Level.ERROR if stack.profile_of(name) is Profile.PROD else Level.WARNING
        yield Finding("image", f"{path}.image", message, f"image: {facts.own_image}", level)


def _needs_token(spec: ServiceSpec, decision: Decision, model: Model) -> bool:
    own = decision.source.repository in (model.id, *model.aliases)
    return bool(model.gated) and own and not spec.token and decision.storage.kind != "existing-claim"


def unsizable(name: str, spec: ServiceSpec, decision: Decision, launch: Launch) -> Iterator[Finding]:
    """What arguments of a person's own change beyond the sum: the container is read back as a rule would read it."""
    if not spec.extra_args:
        return
    image = catalog().engine(decision.engine).image("cuda" if decision.on_gpu else "cpu", decision.engine_version)
    env = [{"name": variable, "value": value} for variable, value in launch.env]
    env += [{"name": each.name, "valueFrom": "a Secret"} for each in launch.secret_env]
    container = {"image": image, "command": launch.command, "args": launch.args, "env": env}
    seen = ENGINES[decision.engine].read(container)
    for fact, why in dict(seen.undecided if seen else ()).items():
        message = f"--{fact.replace('_', '-')} cannot be planned: {why}"
        yield Finding("extra-args", f"services.{name}.extra_args", message, "leave it out")
