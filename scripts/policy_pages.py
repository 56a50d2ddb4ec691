"""The pages of docs/policies: one for each rule, of what it says of itself and its examples in tests/rules/cases."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from modelberth.observed import UNKNOWN
from modelberth.policyfile import Exemption, PolicyFile
from modelberth.rules import ALL, Rule
from modelberth.rules.base import Levels, Threshold
from modelberth.verdicts import judge_all

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "policies"
sys.path.insert(0, str(ROOT))  # examples lie with the tests

from tests.rules.cases import Case, every, type_of  # noqa: E402

FAMILIES = {"SZ": "Sizing", "WH": "Workloads", "CS": "Clouds, cost, supply"}
_TOKEN = re.compile(r"\b(hf_|gh[opsu]_|glpat-|sk-|xox[abp]-|AKIA|ASIA)[\w-]{4,}|-----BEGIN [\s\S]+?-----END [^-]+-----")
_GROUPS = {
    **dict.fromkeys(("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"), "apps/v1"),
    "Job": "batch/v1",
    "LeaderWorkerSet": "leaderworkerset.x-k8s.io/v1",
}


class _Dumper(yaml.SafeDumper):
    """Writes what is not known, and every value in full."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.add_representer(
    type(UNKNOWN), lambda dumper, _: dumper.represent_scalar("tag:yaml.org,2002:str", "(only known after apply)")
)
_Dumper.add_representer(tuple, lambda dumper, data: dumper.represent_list(list(data)))


def pages() -> dict[Path, str]:
    """Every page by its path."""
    cases: dict[str, list[Case]] = {}
    for case in every():
        cases.setdefault(case.rule, []).append(case)
    return {FOLDER / f"{rule.id}.md": page(rule, cases.get(rule.id, [])) for rule in ALL}


def page(rule: Rule, cases: list[Case]) -> str:
    """The page of one rule."""
    asked = "every resource, before it is registered" if rule.check else "all resources of a stack together"
    if rule.check and rule.across:
        asked = "every resource, before it is registered, and all of a stack together"
    lines = [
        f"# {rule.id} {rule.title}",
        "",
        f"`{rule.policy_name}`, severity {rule.severity}, is asked of {asked}. [All rules](README.md#rules)",
        "",
        f"Why: {rule.why}",
        "",
        f"Way out: {rule.remediation}",
        "",
        f"Source: {rule.source}.",
        "",
        "## Levels",
        "",
        "| | dev | prod | strict |",
        "|---|---|---|---|",
        *_levels(rule),
    ]
    if rule.thresholds:
        lines += ["", "## Thresholds", "", "| name | type | default | bounds | what |", "|---|---|---|---|---|"]
        lines += [_threshold(each) for each in rule.thresholds]
        default = rule.thresholds[0].schema["default"]
        lines += ["", "```json", json.dumps({rule.policy_name: {rule.thresholds[0].name: default}}), "```"]
    lines += _examples(rule, cases)
    return "\n".join(lines) + "\n"


def _levels(rule: Rule) -> Iterator[str]:
    def row(whose: str, levels: Levels) -> str:
        return f"| {whose} | {' | '.join(levels)} |"

    if rule.foreign is None:
        yield row("any resource", rule.levels)
    else:
        yield row("what our components wrote", rule.levels)
        yield row("what others wrote", rule.foreign)


def _threshold(threshold: Threshold) -> str:
    kinds = {bool: "boolean", int: "whole number", float: "number", tuple: "list of texts"}
    bounds = [f"at least {threshold.least:g}"] if threshold.least is not None else []
    bounds += [f"at most {threshold.most:g}"] if threshold.most is not None else []
    default = json.dumps(threshold.schema["default"])
    kind = kinds[type(threshold.default)]
    return f"| `{threshold.name}` | {kind} | `{default}` | {', '.join(bounds)} | {threshold.description} |"


def _examples(rule: Rule, cases: list[Case]) -> Iterator[str]:
    shown = {
        "Does not pass": [case for case in cases if case.red is not None and not case.undecided],
        "Cannot be decided": [case for case in cases if case.undecided],
        "Passes": [case for case in cases if case.red is None],
    }
    for heading, found in shown.items():
        if found:
            case = min(found, key=lambda each: (len(each.there), len(_written(each))))
            yield from ["", f"## {heading}", "", f"{_sentence(case)}:", "", "```yaml", _written(case), "```"]
            said = _said(rule, case)
            if said:
                yield from ["", "```", said, "```"]


def _sentence(case: Case) -> str:
    more = [f"{name} {json.dumps(value, default=list)}" for name, value in case.thresholds.items()]
    options = case.options
    more += [f"{name} {value:g} s" for name, value in _timeouts(options.create_timeout_s, options.update_timeout_s)]
    more += [f"protect {str(options.protect).lower()}"] if options.protect is not None else []
    profile = f", in profile {case.profile}" if case.profile.value != "prod" else ""
    with_settings = f", with {', '.join(more)}" if more else ""
    return f"{case.says[0].upper()}{case.says[1:]}{profile}{with_settings}"


def _timeouts(create: float | None, update: float | None) -> Iterator[tuple[str, float]]:
    named = {"customTimeouts.create": create, "customTimeouts.update": update}
    return ((name, value) for name, value in named.items() if value)


def _written(case: Case) -> str:
    texts = []
    for each in case.there:
        kind, content = each if isinstance(each, tuple) else ("", each)
        head = f"# {kind}\n" if kind else ""
        texts.append(head + yaml.dump(_whole(content, kind), Dumper=_Dumper, sort_keys=False, width=110).strip())
    return _TOKEN.sub(lambda match: f"{match[1] or '-----BEGIN'}...", "\n---\n".join(texts))


def _whole(content: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """A manifest as a file would have it."""
    if kind or "apiVersion" in content or type_of(content).endswith(":"):
        return dict(content)
    return {"apiVersion": _GROUPS.get(str(content["kind"]), "v1"), **content}


def _said(rule: Rule, case: Case) -> str:
    policy = PolicyFile(case.profile, thresholds={rule.id: case.thresholds})
    verdicts = judge_all(case.resources, policy, (rule,))
    return "\n".join(f"[{verdict.enforcement}] {rule.id} {verdict.finding}" for verdict in verdicts)


def index() -> str:
    """The table of all rules."""
    lines = ["| rule | what | dev | prod | strict |", "|---|---|---|---|---|"]
    for family, name in FAMILIES.items():
        rules = [rule for rule in ALL if rule.id.startswith(family)]
        lines += [f"| | **{name}** | | | |"] if rules else []
        for rule in rules:
            levels = " | ".join(_both(rule, place) for place in range(3))
            lines.append(f"| [{rule.id}]({rule.id}.md) | {rule.title} | {levels} |")
    return "\n".join(lines)


def _both(rule: Rule, place: int) -> str:
    ours, others = rule.levels[place], (rule.foreign or rule.levels)[place]
    return ours.value if ours is others else f"{ours.value}, others' {others.value}"


def exemption() -> str:
    """The keys of an exemption."""
    lines = ["| key | what |", "|---|---|"]
    for name, field in Exemption.model_fields.items():
        needed = "**required**. " if field.is_required() else ""
        lines.append(f"| `{name}` | {needed}{' '.join((field.description or '').split())} |")
    return "\n".join(lines)


TABLES = {"rules": index, "exemption": exemption}
"""What stands between ``<!-- table: NAME -->`` and ``<!-- end -->`` in docs/policies/README.md."""
