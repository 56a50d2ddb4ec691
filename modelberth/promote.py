"""What one environment serves, moved to the next: model, engine and context go together, machines and load do not.

What is locked in one stack is planned on the machines of the other. Its lock takes it, and its stack file changes only
where it states something else.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from modelberth.decision import Decision
from modelberth.findings import Finding, Refused
from modelberth.lock import Change, Locked, Settled, changes, settle
from modelberth.names import Quantization
from modelberth.parts import ModelRef
from modelberth.spec import EngineName, KvCacheDtype, PoolSpec, ServiceSpec, StackSpec


class Kept(StrEnum):
    """What may stay as it is where a plan is promoted to."""

    MODEL = "model"
    ENGINE = "engine"
    CONTEXT = "context"


OF_MODEL = ("quantization", "kv_cache_dtype", "adapters", "speculative", "tool_call_parser", "reasoning_parser")
"""Fields that move with the model."""
OF_ENGINE = ("engine_version", "packaging", "image", "image_digest", "extra_args")
"""Fields that move with the engine."""
_OF_IMAGE = ("image", "image_digest")


@dataclass(frozen=True)
class Side:
    """One of the two stacks: its name, what it asks for, and what is locked."""

    name: str
    spec: StackSpec
    locked: Locked


@dataclass(frozen=True)
class Edit:
    """One field that the stack file states otherwise. ``value`` is what it must say, in the types of a YAML file;
    ``typed`` the same in those of the spec.
    """

    service: str
    field: str
    before: str
    value: Any
    typed: Any

    @property
    def path(self) -> tuple[str, ...]:
        """Keys inside the stack's keys."""
        return ("services", self.service, self.field)

    def __str__(self) -> str:
        return f"services.{self.service}.{self.field}: {self.before} -> {_shown(self.value)}"


@dataclass(frozen=True)
class Promotion:
    """What changes where a plan is promoted to. ``absent`` are services that are not there."""

    spec: StackSpec
    """What the stack file says when it is edited."""
    edits: tuple[Edit, ...]
    changes: tuple[Change, ...]
    settled: Settled
    absent: tuple[str, ...] = ()


def promotion(source: Side, target: Side, *, only: Collection[str] = (), kept: Collection[Kept] = ()) -> Promotion:
    """What changes in ``target`` when it serves what ``source`` does.

    ``only`` names the services; default: all that both have. The machine type that is locked there stays as long as it
    holds what comes. Raises :class:`Refused` with everything that stands against it.
    """
    names = _names(source, target, only)
    problems: list[Finding] = []
    stated, planned = dict(target.spec.services), dict(target.spec.services)
    edits: list[Edit] = []
    for name in names:
        comes, here = source.spec.services[name], target.spec.services[name]
        wanted = _wanted(comes, source.locked[name], set(kept))
        problems.extend(_unmoved(name, source, target, wanted))
        mine = [*_edits(name, target.spec, wanted)]
        edits.extend(mine)
        stated[name] = here.model_copy(update={edit.field: edit.typed for edit in mine})
        planned[name] = here.model_copy(update={key: value for key, value in wanted.items() if value is not None})
    if problems:
        raise Refused(problems)
    spec = target.spec.model_copy(update={"services": stated})
    fresh = _planned(target, target.spec.model_copy(update={"services": planned}), names)
    lock = Locked(dict(fresh.lock), getattr(fresh.lock, "pools", {}))
    if Kept.MODEL not in kept:
        for name in names:
            lock[name] = lock[name].model_copy(update={"source": source.locked[name].source})
    settled = settle(spec, lock, stack_name=target.name)
    absent = tuple(sorted(set(source.spec.services) - set(target.spec.services)))
    return Promotion(spec, tuple(edits), changes(target.locked, settled.lock), settled, absent)


def _names(source: Side, target: Side, only: Collection[str]) -> tuple[str, ...]:
    both = sorted(set(source.spec.services) & set(target.spec.services))
    names = sorted(only) or both
    problems = [
        Finding("name", f"services.{name}", f"{side.name} has no such service", f"one of {', '.join(both)}")
        for name in names
        for side in (source, target)
        if name not in side.spec.services
    ]
    if not names:
        problems.append(Finding("name", "services", f"{source.name} and {target.name} have no service in common"))
    for name in names:
        if name in source.spec.services and name not in source.locked:
            out = f"run: modelberth plan --update {source.name}"
            problems.append(Finding("unlocked", f"services.{name}", f"nothing is locked in {source.name}", out))
    if problems:
        raise Refused(problems)
    return tuple(names)


def _wanted(comes: ServiceSpec, locked: Decision, kept: Collection[Kept]) -> dict[str, Any]:
    """Fields of the spec and what they are to be; None where the one that it comes from says nothing."""
    wanted: dict[str, Any] = {}
    if Kept.CONTEXT not in kept:
        wanted["context"] = comes.context
    if Kept.MODEL not in kept:
        own = locked.source.repository == comes.model.id
        revision = comes.model.revision or (locked.source.revision if own else None)
        wanted["model"] = comes.model.model_copy(update={"revision": revision})
        wanted |= {field: getattr(comes, field) or None for field in OF_MODEL}
        wanted["quantization"] = Quantization(locked.quantization)
        wanted["kv_cache_dtype"] = KvCacheDtype(locked.kv_cache_dtype)
    if Kept.ENGINE not in kept:
        wanted |= {field: getattr(comes, field) or None for field in OF_ENGINE}
        wanted |= {"engine": EngineName(locked.engine), "engine_version": locked.engine_version}
    return wanted


def _unmoved(name: str, source: Side, target: Side, wanted: Mapping[str, Any]) -> Iterator[Finding]:
    """What the target states and the source does not: nobody can tell whether it still holds."""
    here, locked = target.spec.services[name], target.locked.get(name)
    same_engine = locked is not None and (wanted.get("engine"), wanted.get("engine_version")) == (
        locked.engine,
        locked.engine_version,
    )
    moved = wanted.get("model")
    if moved and here.model.revision and not moved.revision:
        message = f"belongs to {here.model.id}, {source.locked[name].source.repository} comes"
        out = f"take it out of {target.name}: its lock holds the revision"
        yield Finding("promote", f"services.{name}.model.revision", message, out)
    for field, value in wanted.items():
        if value is not None or not getattr(here, field) or (field in _OF_IMAGE and same_engine):
            continue
        if field in _OF_IMAGE:
            version = f"{wanted['engine']} {wanted['engine_version']}"
            message = f"names an image, {source.name} names none, and {version} comes"
            out = f"state the {field} of {version} in {source.name}, or --keep engine"
        else:
            message = f"is stated in {target.name} and not in {source.name}"
            out = f"take it out of {target.name}, or --keep {'model' if field in OF_MODEL else 'engine'}"
        yield Finding("promote", f"services.{name}.{field}", message, out)


def _edits(name: str, stack: StackSpec, wanted: Mapping[str, Any]) -> Iterator[Edit]:
    """Fields whose words in the stack file contradict what comes; what it leaves open only the lock says."""
    here = stack.services[name]
    engine = wanted.get("engine")
    general = stack.defaults.engine_versions.get(engine) if engine else None
    for field, value in wanted.items():
        said = getattr(here, field)
        if field == "engine_version" and said is None:
            said = general
        if value is None or said == value or _open(field, said, value):
            continue
        typed = _as_stated(here.model, value) if field == "model" else value
        yield Edit(name, field, _shown(_plain(said)), _plain(typed), typed)


def _open(field: str, said: Any, value: Any) -> bool:
    """Whether a field leaves to the plan what comes."""
    if field == "model":
        return said.id == value.id and said.revision is None and value.architecture in (None, said.architecture)
    return field in ("quantization", "engine", "engine_version") and said in (None, "auto")


def _as_stated(said: ModelRef, value: ModelRef) -> ModelRef:
    """A model with its revision only where the stack file states one: the lock has it anyway."""
    return value if said.revision else value.model_copy(update={"revision": None})


def _planned(target: Side, spec: StackSpec, names: Sequence[str]) -> Settled:
    """A plan for what comes, on the machine types that are locked there where they hold it."""
    held = {pool: _held(pool, body, target.locked, names) for pool, body in spec.pools.items()}
    try:
        return settle(spec.model_copy(update={"pools": held}), target.locked, update=True, only=names)
    except Refused:
        return settle(spec, target.locked, stack_name=target.name, update=True, only=names)


def _held(pool: str, body: PoolSpec, locked: Mapping[str, Decision], names: Sequence[str]) -> PoolSpec:
    types = {locked[name].machine_type for name in names if name in locked and locked[name].pool == pool}
    return body.model_copy(update={"machine_types": tuple(sorted(types))}) if types else body


def _plain(value: Any) -> Any:
    """In the types that a YAML file has."""
    if isinstance(value, ModelRef):
        stated = value.model_dump(mode="json", exclude_none=True)
        return stated["id"] if set(stated) == {"id"} else stated
    if isinstance(value, tuple):
        return [_plain(each) for each in value]  # type: ignore[reportUnknownVariableType]
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", exclude_unset=True)
    return str(value) if isinstance(value, StrEnum) else value


def _shown(value: object) -> str:
    return "nothing" if value in (None, [], "") else str(value)


__all__ = ["Edit", "Kept", "Promotion", "Side", "promotion"]
