"""What services of one stack cannot have together: more nodes than a pool has, one volume on several nodes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from modelberth.clouds.bucket_names import bucket_name_problem
from modelberth.clouds.places import Way
from modelberth.findings import Finding
from modelberth.host import claim_gib
from modelberth.plan import Plan
from modelberth.spec import StackSpec, WeightsKind, WeightsSpec
from modelberth.stores import offers_of
from modelberth.targets import Target


def conflicts(stack: StackSpec, plans: Sequence[Plan]) -> Iterator[Finding]:
    """Errors that no service has by itself."""
    yield from _same_name(plans)
    yield from _pools(stack, plans)
    yield from _same_door(plans)
    for name, store in sorted(stack.weights.items()):
        users = [each for each in plans if each.decision.storage.store == name]
        yield from _attached_twice(name, store, users)
        yield from _one_kind(name, users)
        if all(spec.weights != name for spec in stack.services.values()):
            yield from _unused(name, store, stack.target)
        elif store.kind is WeightsKind.CLAIM:
            yield from _too_small(name, store, users)


def _unused(name: str, store: WeightsSpec, target: Target) -> Iterator[Finding]:
    """What cannot be made of weights that are kept for services to come: nothing is planned for them."""
    path = f"weights.{name}"
    if store.kind is WeightsKind.AUTO:
        message = "no service uses it, so there is nothing to choose it by"
        yield Finding("storage", f"{path}.kind", message, "kind: bucket, for example, or drop it")
    if store.kind is WeightsKind.CLAIM and store.size_gib is None:
        message = "is required: no service uses it that would say how much it needs"
        yield Finding("storage", f"{path}.size_gib", message, "size_gib: N, or drop it")
    if store.kind.in_bucket and offers_of(target).of(Way(store.kind.value)) is None:
        lacking = offers_of(target).lacking(Way(store.kind.value))
        yield Finding(
            "storage", f"{path}.kind", f"kind {store.kind}: {lacking}", "kind: claim, for example, or drop it"
        )
    problem = bucket_name_problem(store.bucket, target.node_labels.value) if store.bucket else ""
    if problem:
        yield Finding("storage", f"{path}.bucket", f"{store.bucket} {problem}", "a bucket of another name")


def _pools(stack: StackSpec, plans: Sequence[Plan]) -> Iterator[Finding]:
    for name, pool in sorted(stack.pools.items()):
        users = [each for each in plans if each.decision.pool == name]
        needed = sum(each.nodes for each in users)
        if needed > pool.max_nodes and users:
            listed = ", ".join(f"{each.service} {each.nodes}" for each in users)
            message = f"services need {needed} nodes ({listed}), the pool may have {pool.max_nodes}"
            fewer = "a smaller max of autoscaling" if any(each.scaling for each in users) else "fewer replicas"
            yield Finding("pool-limit", f"pools.{name}.max_nodes", message, f"max_nodes: {needed}, or {fewer}")


def _same_name(plans: Sequence[Plan]) -> Iterator[Finding]:
    """A service that was renamed keeps its first name in the cluster: no other may have it."""
    owners: dict[str, str] = {}
    for each in sorted(plans, key=lambda plan: plan.spec.renamed_from is None):
        called = each.spec.called(each.service)
        if called in owners:
            message = f"{owners[called]} is called {called} in the cluster, where it kept its first name"
            renamed = each.spec.renamed_from is not None
            path = f"services.{each.service}" + (".renamed_from" if renamed else "")
            yield Finding("name", path, message, "the service's own first name" if renamed else "another name")
        owners.setdefault(called, each.service)


def _same_door(plans: Sequence[Plan]) -> Iterator[Finding]:
    """Two routes for one address: a controller takes the older one, and says so nowhere that a plan could see."""
    users: dict[str, list[str]] = {}
    for each in plans:
        if each.door:
            users.setdefault(each.door.url, []).append(each.service)
    for url, services in users.items():
        for service in services[1:]:
            message = f"{url} is answered by {services[0]} already"
            yield Finding("door", f"services.{service}.expose.host", message, "a host of its own")


def _attached_twice(name: str, store: WeightsSpec, users: Sequence[Plan]) -> Iterator[Finding]:
    """A ReadWriteOnce volume is attached to one node at a time (Kubernetes, Persistent Volumes, access modes)."""
    if store.kind.attached and store.access_mode == "ReadWriteOnce" and len(users) > 1:
        listed = " and ".join(each.service for each in users)
        message = f"{listed} cannot share a ReadWriteOnce volume: their pods may run on different nodes"
        yield Finding("storage", f"weights.{name}.access_mode", message, "ReadWriteMany, or weights for each")


def _one_kind(name: str, users: Sequence[Plan]) -> Iterator[Finding]:
    """A store that is left to the plan is one thing: what suits one of its services may not suit another."""
    kinds = {each.service: each.decision.storage.kind for each in users}
    if len(set(kinds.values())) > 1:
        listed = ", ".join(f"{service} {kind}" for service, kind in kinds.items())
        message = f"its services would have different kinds of it ({listed})"
        yield Finding("storage", f"weights.{name}.kind", message, f"kind: {min(kinds.values())}, or weights for each")


def _too_small(name: str, store: WeightsSpec, users: Sequence[Plan]) -> Iterator[Finding]:
    sizes = {each.decision.source: each.decision.storage.size_gib or 0 for each in users}
    every = (source for each in users for source in (each.decision.source, *each.decision.beside))
    files = {source: source.stored_bytes for source in every}
    needed = max(sum(sizes.values()), claim_gib(sum(files.values())))
    if store.size_gib is None:
        message = "is required: the volume outlives its services and never shrinks"
        yield Finding("storage", f"weights.{name}.size_gib", message, f"its services need {needed}")
    elif store.size_gib < needed:
        message = f"{store.size_gib} GiB are less than the {needed} GiB that its services need"
        yield Finding("storage", f"weights.{name}.size_gib", message, f"size_gib: {needed} or more")
