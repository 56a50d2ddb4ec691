"""What a replica carries beside its model, by decision or as observed: adapters, drafts, KV cache on the host."""

from __future__ import annotations

from modelberth.catalog import Model, catalog
from modelberth.decision import Adapter, Drafting, Source
from modelberth.errors import UnknownName
from modelberth.memory import Unsized, shape_of
from modelberth.names import SpeculativeMethod
from modelberth.observed import Extras
from modelberth.units import GIB


def folder_of(source: Source) -> str:
    """Folder inside a weights volume: no two revisions, and no two files of a repository, ever share one."""
    folder = f"{source.repository.replace('/', '--')}/{source.revision or 'default'}"
    return f"{folder}/{source.file.removesuffix('.gguf')}" if source.file else folder


def adapter_folder(adapter: Adapter) -> str:
    """Folder of an adapter: it states the rank, which llama-server's command line would not tell otherwise."""
    return f"{folder_of(adapter.source)}/rank-{adapter.rank}"


def extras_of(adapters: tuple[Adapter, ...] | None, drafting: Drafting | None, kv_offload_gib: int | None) -> Extras:
    """What a decision carries beside its model, as its memory depends on it."""
    return Extras(
        lora_slots=len(adapters or ()),
        lora_rank=max((adapter.rank for adapter in adapters or ()), default=0),
        method=drafting.method.value if drafting else "",
        draft=drafting.model if drafting else None,
        draft_quantization=drafting.quantization if drafting else None,
        draft_tokens=drafting.tokens if drafting else 0,
        kv_offload_bytes=(kv_offload_gib or 0) * GIB,
    )


def draft_model(extras: Extras) -> Model | None:
    """The model that drafts, None where the method has none. Raises :class:`Unsized` where its size is not known."""
    if not extras.method or not SpeculativeMethod(extras.method).has_weights:
        return None
    named = extras.draft or "which nobody names"
    try:
        row = catalog().model(named)
    except UnknownName:
        checkpoint = catalog().checkpoint(named)
        if checkpoint is None:
            raise Unsized(f"the weights of the draft, {named}, are not known") from None
        row = catalog().model(checkpoint.model)
    stored = row.quantization.value if row.quantization else "bf16"
    if extras.draft_quantization is None and stored not in ("bf16", "fp16"):
        raise Unsized(f"the draft {named} is stored as {stored}, and only drafts of 16 bit are sized")
    return row


def drafting_layers(model: Model, extras: Extras) -> int:
    """Layers of the model's own that draft. Raises :class:`Unsized` where they are asked for and not known."""
    if extras.method != SpeculativeMethod.MTP:
        return 0
    if not model.mtp_layers:
        raise Unsized(f"no layers of {model.id} for multi-token prediction are known")
    if not shape_of(model).uniform:
        raise Unsized(f"what the drafting layers of {model.id} keep is not known: its layers are of several kinds")
    return model.mtp_layers
