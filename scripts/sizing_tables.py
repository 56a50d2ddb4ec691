"""The tables of docs/tables.md: the guide's sizes beside figures computed from the catalog, with every deviation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from compatibility_tables import Table

from modelberth.catalog import Gpu, catalog
from modelberth.engines import ENGINES, Accelerator, Sizing
from modelberth.fit import Fit, Verdict, fit
from modelberth.memory import (
    Memory,
    Setup,
    Stored,
    gguf_bytes,
    kv_bytes_per_token,
    memory_of,
    safetensors_bytes,
    shape_of,
)
from modelberth.memory.gguf import BYTES_PER_BLOCK, file_bytes, tensors
from modelberth.memory.shapes import Keeps, Role, Shape
from modelberth.names import Quantization
from modelberth.units import GB, GIB, KIB, tokens

GUIDE: dict[str, Any] = yaml.safe_load(
    (Path(__file__).parents[1] / "docs" / "guide-sizes.yaml").read_text(encoding="utf-8")
)
ROUNDING = 0.005
"""Deviations and their causes below this share are not told."""
BILLION = 10**9
LONG = 2**20
"""Tokens beyond every sliding window."""


def visible_memory() -> str:
    """What the cards and machines that the guide names show to an engine."""
    table = Table("card or machine", "label", "shows to the engine", "source")
    cases = (gpu for case in GUIDE["use_cases"]["rows"] for gpu in case["setups"])
    for name in dict.fromkeys((*cases, *GUIDE["apple"]["machines"])):
        gpu = catalog().gpu(name)
        shown = f"{gpu.visible_memory_gib:g} GiB = {gpu.visible_memory_bytes / GB:,.1f} GB"
        table.row(gpu.name, f"{gpu.marketing_memory_gb:g} GB", shown, gpu.visible_memory_source)
    return str(table)


def weights(size: int) -> str:
    """One size class of the guide's memory table."""
    table = Table("model", "format", "guide", "exact", "deviation", "why")
    for name in GUIDE["models"][size]:
        for kind, guide_gb in GUIDE["memory"][size].items():
            amount, how = stored_bytes(name, kind)
            off = amount / (guide_gb * GB) - 1
            exact = f"{amount / GB:,.1f} GB = {amount / GIB:,.1f} GiB ({how})"
            why = (
                "; ".join(_causes(name, kind, size, amount, guide_gb)) if abs(off) >= ROUNDING else "as the guide says"
            )
            table.row(short(name), GUIDE["formats"][kind]["label"], f"{guide_gb:g} GB", exact, _percent(off), why)
    return str(table)


def stored_bytes(name: str, kind: str) -> tuple[int, str]:
    """Bytes of the weights and where they are from: the files where the catalog has them, otherwise computed."""
    model = catalog().model(name)
    if kind == model.quantization and model.weights_bytes:
        return model.weights_bytes, "files"
    files = [row.bytes for row in catalog().checkpoints(name, kind) if row.bytes]
    if files:
        return files[0], "file"
    shape = shape_of(model)
    return gguf_bytes(shape, kind) if Quantization(kind).is_gguf else safetensors_bytes(shape, kind), "computed"


def _causes(name: str, kind: str, size: int, amount: int, guide_gb: float) -> Iterator[str]:
    """The deviation as a product: more parameters than the label, and more bytes for each than the guide takes."""
    shape, words = shape_of(catalog().model(name)), GUIDE["formats"][kind]
    more = shape.parameters / (size * BILLION) - 1
    if abs(more) >= ROUNDING:
        yield f"{shape.parameters / BILLION:.2f} billion parameters, not {size} ({_percent(more)})"
    guide_each, each = guide_gb / size, amount / shape.parameters
    if abs(each / guide_each - 1) < ROUNDING:
        return
    ends = sum(part.elements for part in shape.of(Role.EMBEDDING, Role.OUTPUT))
    share = f" ({ends / shape.parameters:.0%} of the parameters)" if "embedding" in words["why"] else ""
    reason = words["why"].replace("stay 16 bit", f"{share.strip()} stay 16 bit".strip(), 1) if share else words["why"]
    counted = f"{each:.3f} B per parameter, the guide takes {guide_each:.3f} ({_percent(each / guide_each - 1)})"
    more_words = "".join(_fallbacks(shape, kind))
    yield f"{counted}: {reason}{more_words}" if each > guide_each and reason else counted


def _fallbacks(shape: Shape, kind: str) -> Iterator[str]:
    """Parts of a GGUF file that are stored wider because their width is no multiple of a block."""
    if not Quantization(kind).is_gguf:
        return
    found = [tensor for tensor in tensors(shape, kind) if tensor.part.columns % K_BLOCK and tensor.kind != "f32"]
    for part in dict.fromkeys(tensor.part for tensor in found):
        kinds = " and ".join(sorted({tensor.kind for tensor in found if tensor.part == part}))
        yield f"; {part.name} is stored as {kinds}, its {part.columns:,} columns are no multiple of {K_BLOCK}"


K_BLOCK = BYTES_PER_BLOCK["q4_k"][1]


def kv_per_request() -> str:
    """What 1 to 4 GB of KV cache per request mean."""
    words = GUIDE["kv_cache"]
    low, high, context = words["low_gb"], words["high_gb"], words["context"]
    head = (f"{low} GB is a request of", f"{high} GB is a request of", f"{tokens(context)} tokens take")
    table = Table("model", "per token, 16 bit", *head, "its maximum takes", "within 1 to 4 GB")
    for name in words["models"]:
        model = catalog().model(name)
        shape = shape_of(model)
        each = kv_bytes_per_token(shape)
        fixed = request_bytes(shape, LONG) - LONG * each
        ends = [(gb * GB - fixed) // each for gb in (low, high)]
        longest = model.max_position
        most = f"{request_bytes(shape, longest) / GB:,.1f} GB ({tokens(longest)})" if longest else "not known"
        inside = f"from {tokens(ends[0])} tokens" if not longest or ends[0] <= longest else "never"
        inside += f" to {tokens(ends[1])}" if inside != "never" and (not longest or ends[1] < longest) else ""
        spans = (_span(end, longest) for end in ends)
        one = f"{request_bytes(shape, context) / GB:,.2f} GB"
        table.row(short(name), f"{each / KIB:,.1f} KiB", *spans, one, most, inside)
    return str(table)


def request_bytes(shape: Shape, context: int) -> int:
    """KV cache of one request of this many tokens in 16 bit: growing layers, full windows and states."""
    total = 0
    for cache in shape.caches:
        if cache.keeps is Keeps.STATE:
            total += cache.layers * (2 * cache.conv_elements + cache.state_elements * cache.state_bytes)
        elif cache.keeps is Keeps.WINDOW:
            total += cache.layers * min(context, cache.window) * 2 * cache.heads * cache.elements
    return total + context * kv_bytes_per_token(shape)


def _span(end: int, longest: int | None) -> str:
    beyond = " (more than its maximum)" if longest and end > longest else ""
    return f"{tokens(int(end))} tokens{beyond}"


def kv_formula() -> str:
    """The guide's formula for KV cache per token against what the layers keep."""
    words = GUIDE["kv_cache"]
    table = Table("model", "2 x layers x KV heads x head dim x 2 B", "exact", "too much by", "why")
    for name in words["models"]:
        model = catalog().model(name)
        shape = shape_of(model)
        guide, exact = 2 * (model.num_layers or 0) * model.num_kv_heads * model.head_dim * 2, kv_bytes_per_token(shape)
        why = "; ".join(dict.fromkeys(words["why"][kind] for kind in _kinds(shape))) or "every layer keeps every token"
        factor = f"{guide / exact:,.1f} times" if guide != exact else "-"
        table.row(short(name), f"{guide / KIB:,.1f} KiB", f"{exact / KIB:,.1f} KiB", factor, why)
    return str(table)


def _kinds(shape: Shape) -> Iterator[str]:
    for cache in shape.caches:
        if cache.latent:
            yield "latent"
        elif cache.keeps is not Keeps.EVERYTHING:
            yield cache.keeps.value


def kv_example() -> str:
    """The guide's worked example."""
    words = GUIDE["kv_cache"]["example"]
    shape = shape_of(catalog().model(words["model"]))
    each = kv_bytes_per_token(shape)
    total = each * words["batch"] * words["context"]
    table = Table("", "guide", "exact")
    table.row("per token", f"~{words['kb_per_token']} KB", f"{each:,} B = {each / KIB:g} KiB = {each / 1000:,.1f} KB")
    batch = f"{words['batch']} requests of {tokens(words['context'])} tokens"
    table.row(batch, f"~{words['gb']} GB", f"{total / GIB:g} GiB = {total / GB:,.1f} GB")
    return f"{table}\n\nBoth figures of the guide are binary units (KiB, GiB) under the name of decimal ones."


def use_cases() -> str:
    """Every row of the guide's GPU recommendations, answered by ``fit``."""
    words = GUIDE["use_cases"]
    table = Table("use case", "setup", "fits", "KV cache per GPU", "requests at once", "largest context")
    for case in words["rows"]:
        guide = f"{case['use_case']}: {case['guide']}, {case['quantization']}"
        for name in (model for size in case["sizes"] for model in GUIDE["models"][size]):
            for gpu, counts in case["setups"].items():
                for kind in case["formats"]:
                    for count in counts:
                        setup = f"{short(name)} {GUIDE['formats'][kind]['label']} on {count}x {_short_gpu(gpu)}"
                        table.row(guide, setup, *_fit_cells(fitted(name, kind, gpu, count)))
                        guide = ""
    return str(table)


def fitted(name: str, kind: str, gpu: str, count: int) -> Fit:
    """One setup of the guide: vLLM, or llama.cpp for GGUF files, with one request of the table's context."""
    model, card = catalog().model(name), catalog().gpu(gpu)
    engine = "llamacpp" if Quantization(kind).is_gguf else "vllm"
    context = min(GUIDE["use_cases"]["context"], model.max_position or GUIDE["use_cases"]["context"])
    sizing = Sizing(
        model=model,
        engine_version=catalog().engine(engine).default_version,
        quantization=kind,
        accelerator=Accelerator(card, card.visible_memory_bytes),
        context=context,
        concurrency=1,
        tensor_parallel=count,
    )
    return fit(ENGINES[engine], sizing)


def _fit_cells(answer: Fit) -> tuple[str, str, str, str]:
    left = f"{answer.memory.kv_budget_bytes / GIB:,.1f} GiB" if answer.memory else "-"
    if answer.verdict is not Verdict.FITS or answer.request_tokens is None:
        word = "**no**" if answer.verdict is Verdict.DOES_NOT_FIT else "**unknown**"
        return f"{word}: {answer.why}", left, "-", "-"
    held = f"{answer.requests:,} of {tokens(answer.request_tokens)} tokens"
    return "yes", left, held, tokens(answer.largest_context or 0)


def apple() -> str:
    """The guide's CPU and Apple table, from llama.cpp's memory."""
    words = GUIDE["apple"]
    head = ("machine", "Metal may use", "model", "file", "weights + KV cache + buffers", "guide", "exact")
    table = Table(*head, "tokens/s at most")
    for machine, guide in words["machines"].items():
        gpu = catalog().gpu(machine)
        for size, name in words["models"].items():
            for kind in words["formats"]["Q3" if "Q3" in guide[size] else "Q4"]:
                memory, rate = on_apple(name, kind, gpu), tokens_per_s(name, kind, gpu)
                at_most = f"{rate:,.0f}" + (f" (guide: ~{guide['tokens_per_s']})" if size == 7 else "")
                table.row(
                    gpu.name,
                    f"{memory.capacity_bytes / GIB:,.1f} GiB",
                    short(name),
                    kind.upper(),
                    _apple_sum(memory),
                    guide[size],
                    _apple_verdict(memory),
                    at_most,
                )
    return str(table)


def on_apple(name: str, kind: str, gpu: Gpu) -> Memory:
    """llama-server with every layer on the GPU and one slot of the table's context."""
    setup = Setup(
        shape=shape_of(catalog().model(name)),
        stored=Stored(kind, total_bytes=stored_bytes(name, kind)[0]),
        engine_version=catalog().engine("llamacpp").default_version,
        capacity_bytes=gpu.visible_memory_bytes,
        gpu=gpu,
        context=GUIDE["apple"]["context"],
        max_num_seqs=1,
    )
    return memory_of("llamacpp", setup)


def tokens_per_s(name: str, kind: str, gpu: Gpu) -> float:
    """An upper bound: memory bandwidth over the bytes of layers and output layer, each read once per token."""
    file = file_bytes(shape_of(catalog().model(name)), kind)
    return gpu.memory_bandwidth_gb_per_s * GB / (sum(file.layers) + file.output_on_device)


def _apple_sum(memory: Memory) -> str:
    cache = memory.kv_bytes_for(GUIDE["apple"]["context"])
    loaded = sum(term.amount_bytes for term in memory.terms if term.name == "weights")
    rest = memory.used_bytes - loaded
    parts = (f"{amount / GIB:,.1f}" for amount in (loaded, cache, rest))
    return f"{' + '.join(parts)} = {(memory.used_bytes + cache) / GIB:,.1f} GiB"


def _apple_verdict(memory: Memory) -> str:
    context = GUIDE["apple"]["context"]
    left = memory.kv_budget_bytes - memory.kv_bytes_for(context)
    low, high = (bound - memory.kv_bytes_for(context) for bound in memory.kv_budget_range_bytes)
    if low >= 0:
        return f"yes, {left / GIB:,.1f} GiB left"
    missing = f"{-left / GIB:,.1f} GiB are missing" if left < 0 else f"{left / GIB:,.1f} GiB left"
    fits = memory.largest_request(context)
    shorter = f"; {tokens(fits)} tokens fit" if fits and left < 0 else ""
    return f"{'**no**' if high < 0 else '**too close to call**'}, {missing}{shorter}"


def short(name: str) -> str:
    """A model without its organization."""
    return name.partition("/")[2]


def _short_gpu(name: str) -> str:
    return catalog().gpu(name).name.removeprefix("NVIDIA ")


def _percent(share: float) -> str:
    return f"{share:+.0%}" if abs(share) >= 0.01 else f"{share:+.1%}"


TABLES: dict[str, Callable[[], str]] = {
    "visible-memory": visible_memory,
    **{f"weights {size}B": (lambda size=size: weights(size)) for size in GUIDE["memory"]},
    "kv-per-request": kv_per_request,
    "kv-formula": kv_formula,
    "kv-example": kv_example,
    "gpu-by-use-case": use_cases,
    "apple": apple,
}
"""What stands between ``<!-- table: NAME -->`` and ``<!-- end -->`` in docs/tables.md."""
