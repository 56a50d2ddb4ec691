"""Arguments that managed ones contradict, or that run code from a repository."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import Any

from modelberth.catalog import catalog
from modelberth.catalog.loader import read_rows
from modelberth.catalog.schema import Row, Text
from modelberth.engines import ENGINES, Engine
from modelberth.engines.flags import FlagTable, Parsed, Word, environment
from modelberth.engines.serving import table_of
from modelberth.findings import Finding, Level
from modelberth.manifests import Workload
from modelberth.node import Node, fields_of
from modelberth.observed import UNKNOWN, Observed
from modelberth.resources import Resource
from modelberth.rules.base import ALWAYS, Rule, Settings, Severity, planned, undecided
from modelberth.rules.lines import alike, stray
from modelberth.rules.variables import misspelt

_NUMBER = re.compile(r"\d{1,15}(\.\d{1,6})?")
_REFUSES_REPEATED = frozenset({"tgi"})
"""Engines that refuse a flag that is given twice (clap, in launcher/src/main.rs of TGI). vLLM, SGLang and TensorRT-LLM
take the last one (argparse, click), llama-server too: "specified multiple times ... only last value will be used"."""
_ADDS_UP = frozenset({"lora", "lora_scaled"})
"""Flags of llama-server that add to what they said before."""


class Variable(Row):
    """A variable that changes what an engine serves unless it is ``harmless``; with ``flag``, beside that flag."""

    engine: Text
    name: Text
    flag: Text | None = None
    harmless: tuple[Text, ...] = ()
    effect: Text


@cache
def _variables() -> tuple[Variable, ...]:
    return read_rows(files("modelberth.catalog") / "variables.yaml", Variable)


def _say_it_once(resource: Resource, settings: Settings) -> Iterator[Finding]:
    """What ours contradicts stops; in a manifest of someone else's the last mention runs, and is only told."""
    level = planned(resource)
    yield from alike("SZ-22", resource)
    for pod in resource.pods:
        for workload in pod.serving:
            if workload.observed is not None:
                yield from _of(pod.container_at(workload), workload, workload.observed, level)


def _of(container: Node, workload: Workload, observed: Observed, level: Level) -> Iterator[Finding]:
    engine, env = ENGINES[observed.engine], environment(fields_of(container.value))
    parsed = engine.line(fields_of(container.value))
    yield from _insisting(observed, env, parsed, container, level)
    known = table_of(catalog().engine(observed.engine), observed.engine_version)
    yield from misspelt("SZ-22", container, observed, known, level)
    if parsed is None:
        return
    yield from stray("SZ-22", workload, parsed)
    table = known
    for name, before in parsed.overridden.items():
        spelled = _spelled(table, name)
        if observed.engine in _REFUSES_REPEATED:
            message = f"does not start: {spelled} is given twice, which its parser refuses"
            yield Finding("SZ-22", workload.arguments_path, message, f"state {spelled} once")
        elif level is Level.ERROR and UNKNOWN in before and _managed(engine, table, name):
            yield undecided("SZ-22", RULES[0].question, Node(UNKNOWN, workload.arguments_path))
        elif _managed(engine, table, name) and _differ([*before, parsed.values[name]]):
            times = f"{spelled} is given {len(before) + 1} times with different values"
            message = f"{times}: the last{_shown(parsed, name)} holds"
            yield Finding("SZ-22", workload.arguments_path, message, f"state {spelled} once", level)
    yield from _two_models(engine, workload, parsed, level)
    for variable, name in table.env.items():
        if variable not in env or name not in parsed.values:
            continue
        if env[variable] is UNKNOWN and level is Level.ERROR and _managed(engine, table, name):
            yield undecided("SZ-22", RULES[0].question, container["env"])
        elif _differ([env[variable], parsed.values[name]]):
            spelled = _spelled(table, name)
            message = f"{spelled} and the variable {variable} differ: {spelled}{_shown(parsed, name)} holds"
            yield Finding("SZ-22", f"{container.path}.env", message, f"state one of {spelled} and {variable}", level)


def _insisting(
    observed: Observed, env: Mapping[str, Word], parsed: Parsed | None, container: Node, level: Level
) -> Iterator[Finding]:
    for row in _variables():
        value = env.get(row.name)
        if row.engine != observed.engine or value is None or str(value).strip().lower() in ("", *row.harmless):
            continue
        if value is UNKNOWN and row.harmless:
            yield replace(undecided("SZ-22", RULES[0].question, container["env"]), level=level)
        elif row.flag is None or (parsed is not None and row.flag in parsed.values):
            message = f"{row.name} is set: {row.effect}"
            yield Finding("SZ-22", f"{container.path}.env", message, f"remove {row.name}", level)


def _two_models(engine: Engine, workload: Workload, parsed: Parsed, level: Level) -> Iterator[Finding]:
    """`vllm serve MODEL --model OTHER`: the first holds (entrypoints/cli/serve.py)."""
    first, other = next(iter(parsed.positional), None), parsed.values.get("model")
    if engine.name == "vllm" and first is not None and other is not None and _differ([first, other]):
        message = "the model is named twice: the one without a flag holds, --model is ignored"
        yield Finding("SZ-22", workload.arguments_path, message, "name the model once", level)


def _differ(values: list[Any]) -> bool:
    """Whether words surely differ; what is only known after apply is the doubt of SZ-21."""
    known = [str(value) for value in values if value is not UNKNOWN]
    return len(known) == len(values) and len(set(known)) > 1


def _managed(engine: Engine, table: FlagTable, name: str) -> bool:
    """Whether sizing or serving hangs on this flag, and its mentions do not add up."""
    spellings = tuple(flag for flag, (own, _) in table.flags.items() if own == name)
    return name not in _ADDS_UP and bool(engine.managed_flags(spellings))


def _spelled(table: FlagTable, name: str) -> str:
    """The longest spelling of a flag that says yes."""
    yes = [flag for flag, (own, takes) in table.flags.items() if own == name and takes != "off"]
    spellings = [flag for flag in yes if not flag.startswith("--no-")]
    return max(spellings, key=lambda flag: (flag.startswith("--"), len(flag), flag), default=name)


def _shown(parsed: Parsed, name: str) -> str:
    """The value that holds, where it is a number."""
    value = parsed.values.get(name)
    return f", {value}," if isinstance(value, str) and _NUMBER.fullmatch(value) else ""


RULES: tuple[Rule, ...] = (
    Rule(
        id="SZ-22",
        name="arguments-said-once",
        title="What sizing depends on is said once, and the same in every pod of a group",
        question="whether what sizing depends on is said once",
        why="Of two mentions one is silently ignored: what was reviewed is not what runs. A word that belongs to no "
        "flag stops the engine, and pods of a group that are started differently never find together.",
        remediation="State every argument once, either as a flag or as a variable.",
        severity=Severity.MEDIUM,
        levels=ALWAYS,
        source="argparse and clap; llama-server's own warning; modelberth/catalog/variables.yaml",
        check=_say_it_once,
    ),
)
