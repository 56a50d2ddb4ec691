"""One model asked of the whole catalog: which machines and GPUs hold it, which is smallest, how far each one goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from modelberth.catalog import Checkpoint, Gpu, Model, catalog
from modelberth.catalog.schema import Link
from modelberth.engines import Accelerator, Sizing
from modelberth.errors import ModelberthError, UnknownName, suggest
from modelberth.fit import Fit, Sizer, Verdict, fit, sized_engines, sizer
from modelberth.memory.kv import BYTES_PER_ELEMENT
from modelberth.names import Quantization
from modelberth.parallel import TENSOR_PARALLEL_SIZES
from modelberth.placement import UNPLACED, Candidate, Choice, Demand, Loser, Site, choose

AUTO_GGUF = Quantization.Q4_K_M
"""What is asked of engines that read GGUF files when no format is named."""

MOST_CARDS = 8
"""GPUs that one node is assumed to take where no machine type of the catalog has the GPU."""


@dataclass(frozen=True)
class Question:
    """What is to be held, wherever: an engine, and everything that memory depends on but the accelerator."""

    engine: Sizer
    sizing: Sizing
    demand: Demand


@dataclass(frozen=True)
class Cards:
    """The fewest GPUs of one kind that hold the model, or how the most of them fail."""

    gpu: Gpu
    count: int
    fit: Fit

    @property
    def label(self) -> str:
        """Number and name."""
        return f"{self.count} x {self.gpu.name}"

    @property
    def memory_gib(self) -> float:
        """Visible memory of all of them."""
        return self.count * self.gpu.visible_memory_gib

    def placed(self, sizing: Sizing) -> Sizing:
        """A sizing on these GPUs."""
        accelerator = Accelerator(self.gpu, self.gpu.visible_memory_bytes)
        return replace(sizing, accelerator=accelerator, tensor_parallel=self.count)


@dataclass(frozen=True)
class Search:
    """Machines ranked by the question's goal, those that need several nodes after them, and every GPU by itself."""

    question: Question
    ranked: tuple[Candidate, ...]
    losers: tuple[Loser, ...]
    cards: tuple[Cards, ...]

    @property
    def smallest(self) -> Cards | None:
        """The fewest GPUs that hold it, of those the one with the least memory; None when no GPU does."""
        holding = [each for each in self.cards if each.fit.verdict is Verdict.FITS]
        return min(holding, key=lambda each: (each.count, each.gpu.visible_memory_gib, each.gpu.id), default=None)

    @property
    def cheapest_single(self) -> Candidate | None:
        """The cheapest machine whose one GPU is enough."""
        single = [each for each in self.ranked if each.gpus == 1 and each.usd_per_hour is not None]
        return min(single, key=lambda each: each.usd_per_hour or 0.0, default=None)


def question(
    model_id: str,
    engine_id: str,
    demand: Demand,
    *,
    context: int | None = None,
    concurrency: int = 1,
    quantization: str | None = None,
    kv_cache_dtype: str = "auto",
) -> Question:
    """Names looked up and defaults filled in: the model's maximum context, the format its repository stores.

    Raises :class:`ModelberthError` for what the catalog or the package does not know.
    """
    engine = _engine(engine_id)
    model, checkpoint = _model(model_id)
    wanted = context or model.max_position
    if wanted is None:
        raise ModelberthError(f"the catalog states no maximum context of {model.id}; state one with --context")
    kind = _quantization(quantization, engine, model, checkpoint)
    if kv_cache_dtype not in BYTES_PER_ELEMENT:
        raise UnknownName(
            "KV cache type", kv_cache_dtype, suggest(kv_cache_dtype, BYTES_PER_ELEMENT) or BYTES_PER_ELEMENT
        )
    if context and demand.typical_tokens and demand.typical_tokens > context:
        raise ModelberthError(
            f"typical_tokens {demand.typical_tokens} is more than context {context}: raise the context"
        )
    sizing = Sizing(
        model=model,
        engine_version=catalog().engine(engine_id).default_version,
        quantization=kind,
        accelerator=UNPLACED,
        context=wanted,
        concurrency=concurrency,
        kv_cache_dtype=kv_cache_dtype,
        stored_bytes=catalog().file_bytes(model.id, kind),
        repository=checkpoint.repository if checkpoint else None,
    )
    return Question(engine, sizing, demand)


def search(asked: Question) -> Search:
    """Try every machine type and every GPU of the catalog."""
    choice = choose(asked.engine, asked.sizing, map(Site, catalog().machines()), asked.demand)
    ranked = ((choice.best,) if choice.best else ()) + choice.others + choice.spanning
    return Search(asked, ranked, _losers(choice), tuple(fewest(asked, gpu) for gpu in catalog().gpus()))


def fewest(asked: Question, gpu: Gpu, tensor_parallel: int | None = None) -> Cards:
    """The fewest of these GPUs that hold it, or the answer for the most of them that one node takes."""
    answers = tried(asked, gpu, tensor_parallel)
    return next((each for each in answers if each.fit.verdict is Verdict.FITS), answers[-1])


def tried(asked: Question, gpu: Gpu, tensor_parallel: int | None = None) -> list[Cards]:
    """Answers for growing numbers of this GPU, up to the first that fits or whose sum is not known."""
    found: list[Cards] = []
    for count in (tensor_parallel,) if tensor_parallel else _counts(gpu):
        accelerator = Accelerator(gpu, gpu.visible_memory_bytes)
        sizing = replace(asked.sizing, accelerator=accelerator, tensor_parallel=count)
        found.append(Cards(gpu, count, fit(asked.engine, sizing, asked.demand.typical_tokens)))
        last = found[-1].fit
        if last.verdict is Verdict.FITS or (last.verdict is Verdict.UNKNOWN and last.memory is None):
            break
    return found


def most_requests(asked: Question, cards: Cards) -> int:
    """The most requests at once that surely fit: more of them also take more memory beside the KV cache."""
    return _largest(lambda count: _fits(asked, cards, asked.sizing.context, count), asked.sizing.concurrency or 1)


def longest_context(asked: Question, cards: Cards) -> int:
    """The longest context that surely fits at the concurrency asked for, at most the model's maximum."""
    limit, concurrency = asked.sizing.model.max_position, asked.sizing.concurrency or 1
    return _largest(lambda count: _fits(asked, cards, count, concurrency), asked.sizing.context, limit)


def _largest(holds: Callable[[int], bool], start: int, limit: int | None = None) -> int:
    """The largest number for which ``holds``, which is true up to it and false beyond; 0 when it never is."""
    low, high = 0, min(start, limit or start)
    while (limit is None or high < limit) and holds(high):
        low, high = high, min(2 * high, limit or 2 * high)
    if limit is not None and high == limit and holds(limit):
        return limit
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def _fits(asked: Question, cards: Cards, context: int, concurrency: int) -> bool:
    sizing = replace(cards.placed(asked.sizing), context=context, concurrency=concurrency)
    return fit(asked.engine, sizing, asked.demand.typical_tokens).verdict is Verdict.FITS


def _losers(choice: Choice) -> tuple[Loser, ...]:
    if choice.unknown and not choice.losers:
        return (Loser("every machine", choice.unknown),)
    return choice.losers


def _counts(gpu: Gpu) -> tuple[int, ...]:
    if gpu.link is Link.UNIFIED:
        return (1,)
    offered = [machine.gpu_count for machine in catalog().machines(gpu=gpu.id)]
    most = max(offered, default=MOST_CARDS)
    return tuple(count for count in TENSOR_PARALLEL_SIZES if count <= most)


def _engine(engine_id: str) -> Sizer:
    known = catalog().engine(engine_id)
    if engine_id not in sized_engines():
        raise ModelberthError(f"the memory of {known.name} is not modelled; sized are {', '.join(sized_engines())}")
    return sizer(engine_id)


def _model(name: str) -> tuple[Model, Checkpoint | None]:
    """A model by id or alias, or by a repository that stores it in another format."""
    try:
        return catalog().model(name), None
    except UnknownName:
        row = catalog().checkpoint(name)
        if row is None:
            raise
        return catalog().model(row.model), row


def _quantization(wanted: str | None, engine: Sizer, model: Model, checkpoint: Checkpoint | None) -> str:
    if wanted is not None:
        if wanted == Quantization.AUTO or wanted not in list(Quantization):
            known = [kind.value for kind in Quantization if kind is not Quantization.AUTO]
            raise UnknownName("quantization", wanted, suggest(wanted, known))
        return wanted
    if engine.reads_gguf:
        return AUTO_GGUF.value
    row = checkpoint or model
    return row.quantization.value if row.quantization else "bf16"
