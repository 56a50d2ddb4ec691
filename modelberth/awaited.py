"""Secrets that a stack names and its own namespace must hold: what waits for each, how long, and what makes it.

A cluster that exists is asked for them before anything is created; of a namespace that the update makes nobody can ask.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from modelberth.findings import Finding, Level
from modelberth.host import fetch_limit_seconds, progress_limit_seconds
from modelberth.plan import Plan
from modelberth.requirements import Named, named
from modelberth.spec import StackSpec
from modelberth.units import duration


def awaited(stack: StackSpec, plans: Sequence[Plan]) -> tuple[Finding, ...]:
    """One note for each Secret that must be there, where no preflight asks for it."""
    if stack.target.kind == "existing" and stack.target.preflight:
        return ()
    wanted: dict[str, list[tuple[Plan, Named]]] = {}
    for plan in plans:
        for each in named(stack, [plan]):
            if each.ref.kind == "Secret":
                wanted.setdefault(each.ref.name, []).append((plan, each))
    return tuple(note for users in wanted.values() for note in _note(stack, users))


def _note(stack: StackSpec, users: Sequence[tuple[Plan, Named]]) -> Iterator[Finding]:
    waits = tuple(dict.fromkeys(wait for plan, each in users if (wait := _wait(plan, each))))
    if not waits:
        return
    keys = tuple(dict.fromkeys(key for _, each in users for key in each.keys))
    ref = users[0][1].ref
    message = (
        f"{ref.kind} {ref.name} with {_listed('key', keys)} must be made by you in namespace {stack.target.namespace}, "
        f"which this stack makes; until it is there: {'; '.join(waits)}"
    )
    first, *others = dict.fromkeys(each.way_out for _, each in users)
    more = [word for command in others for word in command.split() if word.startswith("--from-file=")]
    paths = ", ".join(dict.fromkeys(each.path for _, each in users))
    yield Finding("secret", paths, message, f"{' '.join([first, *more])}: docs/weights.md, Secrets", Level.NOTE)


def _wait(plan: Plan, each: Named) -> str:
    """Who waits for it, in which state, and how long; nobody where it is not used."""
    service, secret = plan.service, each.ref.name
    if each.path.endswith(".tls_secret"):
        return f"the door of {service} has no certificate"
    if each.path.endswith(".token") and plan.launch.fetch and plan.decision.storage.filled:
        limit = duration(fetch_limit_seconds(plan.fetch_s))
        return f"the pod of {service}'s download Job stays in ContainerCreating and goes on by itself, within {limit}"
    if all(variable.ref.secret != secret for variable in plan.launch.secret_env):
        return ""
    waits = f"pods of {service} stay in CreateContainerConfigError and go on by themselves"
    if plan.launch.group:
        return waits
    limit = duration(progress_limit_seconds(plan.launch.grace_s, plan.decision.startup_budget_s))
    return f"{waits}; the update waits {limit} for them"


def _listed(noun: str, words: Sequence[str]) -> str:
    return f"{noun}{'s' if len(words) > 1 else ''} {' and '.join(words)}"
