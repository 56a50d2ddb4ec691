"""What `quantization: auto` falls to where the stored format fits nothing that is allowed: fp8, then AWQ, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from modelberth import compatibility
from modelberth.catalog import catalog
from modelberth.compatibility import Kind
from modelberth.engines import ENGINES
from modelberth.findings import Finding
from modelberth.names import Quantization
from modelberth.placement import Site
from modelberth.resolve import Reason, Resolved
from modelberth.spec import ServiceSpec, StackSpec

STEPS = (Quantization.FP8, Quantization.AWQ)
"""By quality, as the package's seed guide ranks them: fp8 where the GPU computes in it, then four bits."""


def below(spec: ServiceSpec, resolved: Resolved, refused: Sequence[Finding]) -> Iterator[Quantization]:
    """Formats to try next, best first: those of which the catalog knows a checkpoint.

    None where a format is stated, where the model is named by a checkpoint, and where size is not what stands in the
    way.
    """
    sixteen_bit = resolved.quantization in (Quantization.BF16, Quantization.FP16)
    too_large = [finding.code for finding in refused] == ["does-not-fit"]
    if spec.quantization is not Quantization.AUTO or not sixteen_bit or not too_large:
        return
    if ENGINES[resolved.engine].reads_gguf or catalog().checkpoint(spec.model.id):
        return
    yield from (step for step in STEPS if catalog().checkpoints(spec.model.id, step.value))


def asking(stack: StackSpec, name: str, step: Quantization) -> StackSpec:
    """The same stack with a service that states this format."""
    stated = stack.services[name].model_copy(update={"quantization": step})
    return stack.model_copy(update={"services": {**stack.services, name: stated}})


def computing(sites: Sequence[Site], resolved: Resolved, step: Quantization) -> tuple[Site, ...]:
    """Machines whose GPUs compute in the format; four-bit weights are computed in 16 bit wherever they are served."""
    if step is not Quantization.FP8:
        return tuple(sites)
    return tuple(site for site in sites if _computes(site, resolved, step))


def _computes(site: Site, resolved: Resolved, step: Quantization) -> bool:
    gpu = catalog().gpu(site.machine.gpu) if site.machine.gpu else None
    return compatibility.answer(resolved.engine, resolved.engine_version, step.value, gpu).kind is Kind.YES


def because(resolved: Resolved, first: Resolved) -> Resolved:
    """With the reason for a format that nobody stated."""
    why = f"{first.quantization} fits nothing that is allowed, and this is the next best that a known repository stores"
    reason = Reason("quantization", resolved.quantization, why)
    others = (each for each in resolved.reasons if each.subject != "quantization")
    return replace(resolved, reasons=(*others, reason, Reason("fallback", resolved.quantization, why)))
