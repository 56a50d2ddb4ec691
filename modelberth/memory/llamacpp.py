"""What llama-server takes of a GPU or of a node's memory: exact tensors and KV cells, the compute buffer, the rest.

Source throughout: ggml-org/llama.cpp@b11434. Layers: src/llama-model.cpp (load_tensors); cells: src/llama-context.cpp,
src/llama-kv-cache.cpp, src/llama-kv-cache-iswa.cpp, src/llama-memory-recurrent.cpp.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from modelberth.memory.adapters import adapter_bytes
from modelberth.memory.gguf import FileBytes, file_bytes, positions
from modelberth.memory.kv import BYTES_PER_ELEMENT, kv_arithmetic
from modelberth.memory.llama_graph import EMBEDDINGS_SINCE, UNMIXED, Step, compute_bytes, host_bytes
from modelberth.memory.setup import Setup
from modelberth.memory.shapes import Cache, Keeps, Shape
from modelberth.memory.terms import Least, Memory, Term, Unsized, about
from modelberth.memory.weights import Stored
from modelberth.units import GIB, MIB, ceil_to

BATCH_TOKENS = 512
"""--ubatch-size when nothing is said (common/common.h, n_ubatch)."""

SLOTS = 4
"""--parallel when nothing is said; the slots then share one cache of --ctx-size (tools/server/server.cpp)."""

CELLS = 256
"""The KV cache of a sequence is padded to this many cells (src/llama-context.cpp, n_ctx_seq)."""

LEAST_CONTEXT = 4096
"""What an unset --ctx-size is cut down to at least until it fits (common/common.h, fit_params_min_ctx)."""

FIT_MARGIN_BYTES = GIB
"""Left free on every GPU when llama-server chooses --n-gpu-layers itself (common/common.h, fit_params_target)."""

LOGITS_OF_SLOTS_SINCE = 9500
"""First build, about, whose graph computes logits for one token per slot instead of for the whole micro-batch
(ggml-org/llama.cpp pull request 23861, merged at the beginning of June 2026; verified in b10434)."""

RUNTIME_MIB = (200, 350, 700)
"""CUDA context, cuBLAS handles and ggml's pool of temporary buffers on one GPU: an allowance (low, amount, high).
ollama/ollama@v0.32.15:ml/device.go (MinimumMemory) sets 457 MiB aside for the same."""

METAL_MIB = (100, 256, 512)
"""The same with Metal, of the working set that macOS recommends (ggml/src/ggml-metal/ggml-metal-device.m counts against
recommendedMaxWorkingSetSize). ollama/ollama@v0.32.15:ml/device.go sets 512 MiB aside."""

PROCESS_MIB = (150, 512, 1024)
"""The server process itself on a CPU node: code, tokenizer, HTTP threads. An allowance (low, amount, high)."""


@dataclass(frozen=True)
class Slots:
    """Requests at once and the tokens of each; ``unified`` slots share one cache of ``context`` tokens."""

    context: int
    count: int = 1
    unified: bool = False
    batch_tokens: int = BATCH_TOKENS

    @property
    def cells(self) -> int:
        """KV cells of one sequence's cache."""
        return ceil_to(self.context, CELLS)

    @property
    def streams(self) -> int:
        """Caches of that many cells."""
        return 1 if self.unified else self.count

    @property
    def step_tokens(self) -> int:
        """Tokens of one micro-batch."""
        return min(self.batch_tokens, self.cells * self.streams)

    def window_cells(self, window: int) -> int:
        """Cells of a sliding window layer: the window of every sequence of the cache and one micro-batch."""
        sequences = self.count if self.unified else 1
        return ceil_to(min(self.cells, window * sequences + self.batch_tokens), CELLS)


@dataclass(frozen=True)
class Cells:
    """KV cache and states of the layers of one GPU."""

    shape: Shape
    layers: frozenset[int]
    kv_cache_dtype: str
    slots: Slots
    why: str

    block_tokens = CELLS

    @property
    def bytes_per_token(self) -> int:
        """What a longer context costs per token, in the layers that keep everything."""
        return -(-self._growing.numerator // self._growing.denominator)

    @property
    def _growing(self) -> Fraction:
        return sum(
            (self._count(cache) * row_bytes(cache, self.kv_cache_dtype) for cache in _full(self.shape)), Fraction(0)
        )

    def _count(self, cache: Cache) -> int:
        return sum(layer in self.layers for layer in _positions(self.shape, cache))

    def bytes(self, slots: Slots) -> int:
        """All caches and states, as allocated at start."""
        total = Fraction(0)
        for cache in self.shape.caches:
            count = self._count(cache)
            if cache.keeps is Keeps.STATE:
                total += count * slots.count * 4 * (cache.conv_elements + cache.state_elements)
            else:
                cells = slots.window_cells(cache.window) if cache.keeps is Keeps.WINDOW else slots.cells
                total += count * cells * slots.streams * row_bytes(cache, self.kv_cache_dtype)
        return -(-total.numerator // total.denominator)

    @property
    def allocated_bytes(self) -> int:
        """What llama-server allocates at start for all its slots, whatever they hold later."""
        return self.bytes(self.slots)

    def request_bytes(self, tokens: int) -> int:
        """One slot of this many tokens, rounded up to whole cells."""
        return self.bytes(Slots(tokens, batch_tokens=self.slots.batch_tokens))

    def concurrency(self, available_bytes: int, tokens: int) -> float:
        """Slots of this many tokens each."""
        each = self.request_bytes(tokens)
        return max(0, available_bytes) / each if each else 0.0

    def tokens(self, available_bytes: int) -> int:
        """Tokens of context that fit in all slots together."""
        fixed = self.bytes(Slots(0, self.slots.count, self.slots.unified, self.slots.batch_tokens))
        spare = max(0, available_bytes - fixed)
        return int(spare / self._growing) // CELLS * CELLS if self._growing else 0


def row_bytes(cache: Cache, kv_cache_dtype: str) -> Fraction:
    """One cell of one layer: keys and values of every KV head, or one latent entry (keys only, no values).

    A sparse attention index is one more row of keys in the same type (src/llama-kv-cache-dsa.cpp).
    """
    index = cache.extra_bytes - 4 * -(-cache.extra_bytes // 132)
    return Fraction(cache.heads * cache.elements + max(0, index)) * BYTES_PER_ELEMENT[kv_cache_dtype]


def _full(shape: Shape) -> list[Cache]:
    return [cache for cache in shape.caches if cache.keeps is Keeps.EVERYTHING]


@lru_cache(maxsize=1024)
def _positions(shape: Shape, cache: Cache) -> frozenset[int]:
    return frozenset(positions(cache.layers, shape.layers))


def stored_bytes(shape: Shape, stored: Stored) -> FileBytes:
    """Tensor bytes per layer; a known file size is spread like the computed one."""
    computed = file_bytes(shape, stored.quantization)
    if stored.total_bytes is None:
        return computed
    share = Fraction(stored.total_bytes, computed.total)
    layers = tuple(int(amount * share) for amount in computed.layers)
    embedding = int(computed.embedding * share)
    return FileBytes(embedding, layers, stored.total_bytes - embedding - sum(layers), computed.tied)


def layers_on(gpu: int, gpus: int, layers: int, offloaded: int) -> range:
    """Layers of one GPU; index ``layers`` is the output layer, which counts as one of the ``offloaded``.

    Split mode "layer", equally free GPUs: the offloaded layers, the last ones of the model, in equal runs.
    """
    count = min(offloaded, layers + 1)
    first = layers + 1 - count
    return range(first + -(-gpu * count // gpus), first + -(-(gpu + 1) * count // gpus))


def device_bytes(file: FileBytes, held: range) -> int:
    """Tensor bytes of these layers on a GPU. The input embedding stays in host memory."""
    layers = len(file.layers)
    output = file.output_on_device if layers in held else 0
    return sum(file.layers[layer] for layer in held if layer < layers) + output


def outputs(engine_version: str, slots: Slots) -> int:
    """Tokens of a micro-batch whose logits are computed at once."""
    limited = _build_from(LOGITS_OF_SLOTS_SINCE, engine_version)
    return min(slots.count, slots.step_tokens) if limited else slots.step_tokens


def _build_from(first: int, engine_version: str) -> bool:
    build = engine_version.removeprefix("b")
    return not build.isdigit() or int(build) >= first


def slots_of(setup: Setup) -> Slots:
    """Slots as stated, or as llama-server chooses them."""
    batch = setup.max_num_batched_tokens or BATCH_TOKENS
    context = setup.context or LEAST_CONTEXT
    if setup.max_num_seqs is None:
        return Slots(context, SLOTS, unified=True, batch_tokens=batch)
    return Slots(context, setup.max_num_seqs, batch_tokens=batch)


def step_of(
    shape: Shape, slots: Slots, engine_version: str, *, flash_attention: bool = True, f16_copies: bool = False
) -> Step:
    """The largest micro-batch."""
    windows = [cache.window for cache in shape.caches if cache.keeps is Keeps.WINDOW]
    return Step(
        tokens=slots.step_tokens,
        cells=slots.cells,
        window_cells=max((slots.window_cells(window) for window in windows), default=0),
        outputs=outputs(engine_version, slots),
        flash_attention=flash_attention,
        f16_streams=slots.streams if f16_copies else 0,
        mixed=_build_from(EMBEDDINGS_SINCE, engine_version) and shape.architecture not in UNMIXED,
    )


def _copies_in_f16(setup: Setup) -> bool:
    """Whether flash attention works on copies: the kernels for NVIDIA and AMD of prompts read f16 only."""
    cuda = setup.on_gpu and setup.gpu is not None and setup.gpu.vendor in ("nvidia", "amd")
    return cuda and setup.kv_cache_dtype not in ("auto", "fp16")


def memory(setup: Setup) -> Memory:
    """The fullest GPU, or the memory of one CPU node; host memory beside a GPU is :func:`host_memory_bytes`.

    Raises :class:`Unsized` for a file type or KV cache type that is not known.
    """
    terms, cells = _parts(setup)
    why = f"the caches of all slots ({cells.slots.count})"
    least = Least(cells.allocated_bytes, why, "llama-server allocates them when it starts")
    return Memory("llamacpp", setup.capacity_bytes, setup.capacity_bytes, terms, cells, least_kv=least)


def left_bytes(setup: Setup) -> int:
    """What remains of the fullest GPU (or the node) beside the caches of all slots; negative: it does not start."""
    terms, cells = _parts(setup)
    return setup.capacity_bytes - sum(term.amount_bytes for term in terms) - cells.allocated_bytes


def _parts(setup: Setup) -> tuple[tuple[Term, ...], Cells]:
    shape, slots = setup.shape, slots_of(setup)
    file = stored_bytes(shape, setup.stored)
    if not setup.on_gpu:
        terms = (
            Term("weights", file.total, _model(setup), _where(setup)),
            *beside(setup, slots),
            _compute(setup, slots, 1),
            _allowance("server process", PROCESS_MIB, "code, tokenizer and HTTP threads"),
        )
        return terms, _cells(setup, slots, range(shape.layers))
    gpus, offloaded = setup.ranks.gpus, _offloaded(setup)
    fullest = _fullest(setup, slots, file)
    spread = f", layers spread over {gpus} GPUs" if gpus > 1 else ""
    some = f"{offloaded} of {shape.layers + 1} layers of " if offloaded <= shape.layers else ""
    terms = (
        Term("weights", device_bytes(file, fullest), f"{some}{_model(setup)}{spread}", _where(setup)),
        *beside(setup, slots),
        _compute(setup, slots, gpus),
        _runtime(setup),
    )
    return terms, _cells(setup, slots, fullest)


def beside(setup: Setup, slots: Slots) -> Iterator[Term]:
    """Adapters, and a draft model with a cache of its own for the same slots. Raises :class:`Unsized`."""
    if setup.kv_offload_bytes or setup.mtp_layers:
        raise Unsized("what llama.cpp takes for drafting layers or a second KV cache is not known")
    if setup.lora_slots:
        amount = setup.lora_slots * adapter_bytes(setup.shape, setup.lora_rank)
        why = f"{setup.lora_slots} adapters of rank {setup.lora_rank} in 32 bit at most, for every layer at most"
        yield Term("adapters", amount, why, "src/llama-adapter.cpp: tensors as stored", 0, amount)
    if setup.draft is None:
        return
    file = stored_bytes(setup.draft, setup.draft_stored)
    every = range(setup.draft.layers + 1)
    held = device_bytes(file, every) if setup.on_gpu else file.total
    size, kind = setup.draft.parameters / 1e9, setup.draft_stored.quantization
    why = f"{size:.2f} billion parameters of {setup.draft.id} as {kind}"
    yield Term("draft model", held, why, "common/speculative.cpp: loaded like the model")
    cache = Cells(setup.draft, frozenset(every), setup.kv_cache_dtype, slots, "").allocated_bytes
    yield Term("draft KV cache", cache, f"{slots.count} slots of {slots.cells} cells", "a context of its own")
    step = step_of(setup.draft, slots, setup.engine_version, f16_copies=_copies_in_f16(setup))
    yield about(
        "draft activation", compute_bytes(setup.draft, step), "its widest step", "src/llama-graph.cpp", 0.85, 1.3
    )


def _offloaded(setup: Setup) -> int:
    every = setup.shape.layers + 1
    return every if setup.gpu_layers is None else min(setup.gpu_layers, every)


def _fullest(setup: Setup, slots: Slots, file: FileBytes) -> range:
    """The layers of the GPU that holds most."""
    gpus = setup.ranks.gpus
    held = [layers_on(gpu, gpus, setup.shape.layers, _offloaded(setup)) for gpu in range(gpus)]
    return max(held, key=lambda each: device_bytes(file, each) + _cells(setup, slots, each).bytes(slots))


def host_memory_bytes(setup: Setup) -> int:
    """Host memory beside the GPUs: embedding, layers that are not offloaded with their cache, buffers, the process."""
    shape, slots = setup.shape, slots_of(setup)
    file = stored_bytes(shape, setup.stored)
    kept = range(shape.layers + 1 - (_offloaded(setup) if setup.on_gpu else 0))
    step = step_of(shape, slots, setup.engine_version)
    buffers = compute_bytes(shape, step) if len(kept) else host_bytes(shape, step, slots.count)
    tied = file.embedding if file.tied and shape.layers in kept else 0
    weights = file.embedding + device_bytes(file, kept) - tied
    return weights + _cells(setup, slots, kept).bytes(slots) + buffers + PROCESS_MIB[1] * MIB


KV_CACHE_TYPES = frozenset({"auto", "fp16", "bf16", "q8_0", "q4_0"})
"""Of --cache-type-k that are sized here (llama.cpp b11434, common/arg.cpp, kv_cache_types); there is no fp8."""


def _cells(setup: Setup, slots: Slots, held: range) -> Cells:
    if setup.kv_cache_dtype not in KV_CACHE_TYPES:
        raise Unsized(f"llama.cpp has no {setup.kv_cache_dtype} KV cache: f16, bf16, q8_0 or q4_0")
    why = kv_arithmetic(setup.shape, setup.kv_cache_dtype, 1)
    return Cells(setup.shape, frozenset(held), setup.kv_cache_dtype, slots, why)


def _compute(setup: Setup, slots: Slots, gpus: int) -> Term:
    step = step_of(setup.shape, slots, setup.engine_version, f16_copies=_copies_in_f16(setup))
    why = f"widest step of the graph at {step.tokens} tokens, logits of {step.outputs} tokens"
    why += f", a layer's KV cache of {step.f16_streams} slots in f16" if step.f16_streams else ""
    amount = compute_bytes(setup.shape, step, gpus)
    return about("activation", amount, why, "src/llama-graph.cpp and ggml/src/ggml-alloc.c", 0.85, 1.3)


def _runtime(setup: Setup) -> Term:
    if setup.gpu is not None and setup.gpu.vendor == "apple":
        return _allowance("runtime", METAL_MIB, "Metal queues and pipelines")
    return _allowance("runtime", RUNTIME_MIB, "CUDA context, cuBLAS and temporary buffers")


def _allowance(name: str, mib: tuple[int, int, int], what: str) -> Term:
    low, amount, high = (each * MIB for each in mib)
    return Term(name, amount, f"{what}: an allowance", "no formula: differs by GPU and driver", low, high)


def _model(setup: Setup) -> str:
    return f"{setup.shape.parameters / 1e9:.2f} billion parameters as {setup.quantization}"


def _where(setup: Setup) -> str:
    return "sum of the file" if setup.stored.total_bytes else "shapes and src/llama-quant.cpp's mixture of types"
