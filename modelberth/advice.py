"""Findings about a decision that holds: budget, pins, what the engine only half does, what arguments change."""

from __future__ import annotations

from collections.abc import Iterator

from modelberth import features
from modelberth.catalog import Model, catalog
from modelberth.decision import Decision
from modelberth.engines import ENGINES, Launch
from modelberth.findings import Finding, Level
from modelberth.fit import Fit, Verdict
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
    if answer.verdict is Verdict.UNKNOWN:
        yield Finding("too-close", path, answer.why, "plan anew, or lower context or concurrency", Level.WARNING)
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
    for note in answer.notes:
        if note.level is not Level.ERROR:
            yield Finding(note.code, f"{path}.{note.path}", note.message, note.remedy, note.level)


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
    seen = ENGINES[decision.engine].read({"image": image, "args": launch.args, "env": env})
    for fact, why in dict(seen.undecided if seen else ()).items():
        message = f"--{fact.replace('_', '-')} cannot be planned: {why}"
        yield Finding("extra-args", f"services.{name}.extra_args", message, "leave it out")
