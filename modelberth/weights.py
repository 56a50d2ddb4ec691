"""What a spec says of weights that cannot be, whatever the machine: kinds, access, names and zones."""

from __future__ import annotations

from collections.abc import Iterator

from modelberth.catalog import catalog
from modelberth.clouds.bucket_names import bucket_name_problem
from modelberth.clouds.zones import region_of
from modelberth.decision import Decision
from modelberth.engines import ENGINES
from modelberth.findings import Finding
from modelberth.spec import ServiceSpec, StackSpec, WeightsKind, WeightsSpec


def weights_findings(spec: ServiceSpec, stack: StackSpec, engine: str, path: str) -> Iterator[Finding]:
    """Errors about the weights of one service; ``path`` is the service's."""
    store = stack.weights_of(spec)
    if store.kind.attached and spec.most_replicas > 1 and store.access_mode == "ReadWriteOnce":
        message = f"{spec.most_replicas} replicas on several nodes cannot share a ReadWriteOnce volume"
        out = "name weights of kind hub, or a claim with access_mode ReadWriteMany"
        yield Finding("storage", f"{path}.weights", message, out)
    yield from _zones(spec, stack, store)
    problem = bucket_name_problem(store.bucket, stack.target.node_labels.value) if store.bucket else ""
    if problem:
        where = f"weights.{spec.weights}.bucket"
        yield Finding("storage", where, f"{store.bucket} {problem}", "a bucket of another name")
    one_file = ENGINES[engine].reads_gguf and not catalog().engine(engine).model_store
    filled = store.kind is WeightsKind.EXISTING_CLAIM or bool(store.path)
    if filled and one_file and not store.path.endswith(".gguf"):
        message = f"{engine} reads one file: name it as path of the weights"
        yield Finding("storage", f"weights.{spec.weights}.path", message, "path: FOLDER/FILE.gguf")
    if store.kind is WeightsKind.HUB and not ENGINES[engine].pins_downloads:
        message = f"{engine} cannot be told a revision when it downloads for itself: what is served could change"
        yield Finding("storage", f"{path}.weights", message, "weights of kind claim, filled with a pinned revision")


def _zones(spec: ServiceSpec, stack: StackSpec, store: WeightsSpec) -> Iterator[Finding]:
    """A volume that cannot be attached where its readers may run."""
    here = stack.target.managed.region if stack.target.managed else None
    may_run = {f"pool {name}": pool.zones for name, pool in stack.pools.items() if spec.pool in (None, name)}
    for nodes, stated in (may_run or {"its service": ()}).items():
        zones = stated or stack.target.zones
        outside, inside = sorted(set(zones) - set(store.zones)), [zone for zone in zones if zone in store.zones]
        if store.zones and outside:
            also = " also" if inside else ""
            message = f"its volume is attached in {', '.join(store.zones)}, {nodes} is{also} in {', '.join(outside)}"
            near = inside or [zone for zone in store.zones if here is None or region_of(zone) == here]
            kept = f"zones: [{', '.join(near)}] of the pool" if near else f"a volume in {here}"
            out = f"{kept}, or weights of another kind"
            yield Finding("storage", f"weights.{spec.weights}.zones", message, out)


def moved_weights(spec: ServiceSpec, stack: StackSpec, decision: Decision) -> Iterator[str]:
    """Why the weights of a locked decision are no longer those of the spec; ``auto`` keeps what it came to."""
    store = stack.weights_of(spec)
    kept = decision.storage
    if kept.access_mode not in (None, store.access_mode):
        yield f"access_mode is {store.access_mode}, locked {kept.access_mode}"
    if spec.weights != kept.store or store.kind.value not in (kept.kind, "auto"):
        yield f"weights are {spec.weights or 'of its own'} ({store.kind.value}), locked {kept.store or 'of its own'}"
    if store.kind.value == "auto" and kept.access_mode == "ReadWriteOnce" and spec.most_replicas > 1:
        yield f"a ReadWriteOnce claim is locked, for {spec.most_replicas} replicas"
    if kept.in_bucket and (store.bucket, store.prefix) != (kept.bucket, kept.prefix or ""):
        yield f"the bucket is {store.bucket or 'one that is made'}, locked {kept.bucket or 'one that is made'}"
