"""The tables of docs/engines/README.md: what engines can do, what of it is launched, and which one is chosen."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from compatibility_tables import ENGINES, GUIDE, Table, loads

from modelberth import compatibility, parallel, stackfiles
from modelberth.catalog import Engine, catalog
from modelberth.compatibility import Feature
from modelberth.engines import ENGINES as CODECS
from modelberth.engines import Wishes
from modelberth.engines.choice import automatic
from modelberth.lock import settle
from modelberth.not_yet import NOT_YET
from modelberth.parts import SecretRef
from modelberth.plan import Plan
from modelberth.spec import ServiceSpec

GOLDEN = Path(__file__).parents[1] / "tests" / "golden"
CASES = {
    "vllm": ("8b-on-l4",),
    "sglang": ("sglang-8b-on-l4",),
    "tgi": ("tgi-8b-on-a10g",),
    "tensorrt_llm": ("trtllm-8b-on-h100", "triton-8b-on-h100"),
    "llamacpp": ("qwen-7b-gguf-on-cpu",),
    "ollama": ("ollama-on-cpu",),
}
"""Engine -> golden cases whose container its page shows, one per packaging."""

OURS = {
    "chunked_prefill": "Chunked prefill",
    "prefix_caching": "Prefix caching",
    "pipeline_parallel": "Pipeline parallel, several nodes",
    "draft_model": "Speculative: draft model",
    "ngram": "Speculative: n-gram",
    "eagle": "Speculative: EAGLE",
    "eagle3": "Speculative: EAGLE-3",
    "mtp": "Speculative: MTP",
    "runtime_adapters": "Adapters loaded while it runs",
    "tool_calls": "Tool calling",
    "reasoning": "Reasoning kept apart",
    "kv_offload": "KV cache in the node's memory",
    "api_key": "API key",
    "metrics": "Metrics",
    "drain": "Finishes requests after the signal",
    "status": "Upstream",
}
"""Rows beside the guide's: feature -> label."""

FIELDS = {
    "multi_lora": "adapters",
    "runtime_adapters": "runtime_adapter_loading",
    **dict.fromkeys(("draft_model", "ngram", "eagle", "eagle3", "mtp"), "speculative"),
    "tool_calls": "tool_call_parser",
    "reasoning": "reasoning_parser",
    "kv_offload": "kv_offload_gib",
}
"""Feature -> the field of a spec that asks for it."""

METHODS = ("draft_model", "ngram", "eagle", "eagle3", "mtp")
ALWAYS = ("paged_attention", "continuous_batching", "chunked_prefill", "prefix_caching")
"""Features that no spec asks for: an engine that has them is started with them."""


@cache
def plans(engine: str) -> tuple[Plan, ...]:
    """The golden cases of an engine, planned."""
    found = (settle(stackfiles.read(GOLDEN / case / "spec.yaml").spec, {}).plans[0] for case in CASES[engine])
    return tuple(found)


def _with_key(engine: str) -> bool:
    """Whether the container gets an API key that a service names."""
    ref = SecretRef(secret="keys")  # noqa: S106 - the name of a Secret
    asked = Wishes(service="chat", api_key=ref)
    started = CODECS[engine].launch(plans(engine)[0].decision, asked)
    return any(each.ref == ref for each in started.secret_env)


def launched(feature: str, engine: str) -> bool | None:
    """Whether the package starts the engine with a feature, as codec and schema say; None where nothing is started."""
    asked: dict[str, Callable[[str], bool]] = {
        "tensor_parallel": lambda name: bool(CODECS[name].parallel_flag),
        "pipeline_parallel": lambda name: not parallel.no_nodes(name),
        "openai_api": lambda name: plans(name)[0].launch.api_path == "/v1",
        "api_key": _with_key,
        "metrics": lambda name: bool(plans(name)[0].launch.metrics_path),
        "speculative_decoding": lambda name: any(launched(method, name) for method in METHODS),
        **dict.fromkeys(ALWAYS, lambda _: True),
    }
    if feature in asked:
        return asked[feature](engine)
    if feature not in FIELDS:
        return None
    row, field = compatibility.feature(engine, feature), FIELDS[feature]
    works = field in ServiceSpec.model_fields and field not in NOT_YET.get(ServiceSpec, frozenset())
    return works and row is not None and row.launched


def known(feature: str, engine: str) -> Feature | None:
    """What the catalog knows: a row, or one made of what rules and licences say."""
    facts = facts_of(engine)
    common = {"engine": engine, "feature": feature, "checked": facts.default_version, "as_of": facts.as_of}
    if feature == "quantization":
        return Feature(**common, value=loads(engine), source="the rules behind compatibility.md")
    if feature == "license":
        return Feature(**common, value=facts.license, source=facts.source)
    return compatibility.feature(engine, feature)


def said(row: Feature) -> str:
    """A value, its note, and where the package leaves out what the engine has."""
    note = ", ".join(part for part in (row.note, f"since {row.since}" if row.since and row.note else "") if part)
    value = f"{row.value} ({note})" if note else row.value
    by_itself = row.value == "No" or row.value.startswith("By ")
    left_out = not by_itself and launched(row.feature, row.engine) is False
    return f"{value}, *not launched*" if left_out else value


def features() -> str:
    """The guide's feature matrix, its own cells where they differ."""
    table = Table("feature", *(facts_of(name).name for name in ENGINES))
    for feature, words in GUIDE["features"].items():
        table.row(words["label"], *(_guide_cell(table, feature, words, name) for name in ENGINES))
    return str(table)


def _guide_cell(table: Table, feature: str, words: dict[str, Any], engine: str) -> str:
    row, guide, why = known(feature, engine), words["cells"].get(engine), words.get("why", {}).get(engine)
    if row is None:
        raise ValueError(f"features.yaml: {feature} of {engine} is not answered")
    now = _checked(row)
    if guide is None:
        return now
    same = feature == "quantization" or GUIDE["same"].get(feature, {}).get(guide, guide) == row.value
    if why is None:
        if not same:
            raise ValueError(f"docs/guide.yaml: {feature} of {engine} is {row.value}, the guide says {guide}: why?")
        return now
    if same and feature != "quantization":
        raise ValueError(
            f"docs/guide.yaml: {feature} of {engine} is {row.value} as the guide says: no reason is needed"
        )
    return table.marked(f"{now}; guide: {guide}", f"{facts_of(engine).name}: {why}")


def more_features() -> str:
    """The rows that the guide has not."""
    table = Table("feature", *(facts_of(name).name for name in ENGINES))
    for feature, label in OURS.items():
        rows = (compatibility.feature(name, feature) for name in ENGINES)
        table.row(label, *(_checked(row) if row else "?" for row in rows))
    return str(table)


def _checked(row: Feature) -> str:
    return f"{said(row)} <sub>{row.checked}</sub>"


def index() -> str:
    """All engines with their pages."""
    table = Table("engine", "versions", "default", "licence", "upstream")
    for name in ENGINES:
        facts, status = facts_of(name), compatibility.feature(name, "status")
        upstream = f"{status.value} ({status.note})" if status and status.note else status.value if status else "?"
        if facts.successors:
            upstream += f"; successors: {', '.join(facts_of(each).name for each in facts.successors)}"
        page = f"[{facts.name}]({name}.md)"
        table.row(page, ", ".join(facts.versions), facts.default_version, facts.license, upstream)
    return str(table)


def choice() -> str:
    """What `engine: auto` takes."""
    table = Table("weights", "machines", "engine", "why")
    for gguf in (False, True):
        for gpus in (True, False):
            engine, why = automatic(gguf=gguf, gpus=gpus)
            table.row(
                "GGUF file" if gguf else "safetensors, or none named",
                "with GPUs" if gpus else "CPU nodes only",
                facts_of(engine).name,
                why,
            )
    return str(table)


def rules_of_the_guide() -> str:
    """The guide's selection guide beside what happens here."""
    table = Table("engine", "guide", "here")
    for name, words in GUIDE["engine_selection"].items():
        answers = (automatic(gguf=gguf, gpus=gpus) for gguf in (False, True) for gpus in (True, False))
        chosen = dict.fromkeys(why for engine, why in answers if engine == name)
        here = f"`auto`: {'; '.join(chosen)}" if chosen else f"`engine: {name}`"
        if facts_of(name).archived:
            here += f"; a plan warns and names {', '.join(facts_of(each).name for each in facts_of(name).successors)}"
        table.row(facts_of(name).name, words, here)
    return str(table)


def facts_of(name: str) -> Engine:
    """A row of the catalog."""
    return catalog().engine(name)


TABLES: dict[str, Callable[[], str]] = {
    "engines": index,
    "features": features,
    "more-features": more_features,
    "engine-choice": choice,
    "engine-selection": rules_of_the_guide,
}
"""What stands between ``<!-- table: NAME -->`` and ``<!-- end -->``."""
