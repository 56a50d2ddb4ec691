"""A report as people read it: text for a terminal, Markdown for a comment on a pull request."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby

from modelberth.checked import Report, Told
from modelberth.rules import Rule
from modelberth.rules.base import Profile
from modelberth.verdicts import let_through

LONGEST_COMMENT = 28_000
"""Characters; GitHub refuses a comment of more than 65,536, and plan and preview stand in the same one."""
_MOST_NOTES = 20
_UNPRINTABLE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""What a name could do to a terminal or to the order in which it is read."""
_BREAKS = str.maketrans({"<": "&lt;", ">": "&gt;", "|": "\\|", "`": "'", "\n": " ", "@": "@\u200b"})


def as_text(report: Report) -> str:
    """Findings by file and object, exemptions, what could not be read, and a last line with the counts."""
    lines: list[str] = []
    for (file, _), group in groupby(report.open, key=lambda told: (told.file, told.verdict.resource)):
        found = list(group)
        lines += [": ".join(filter(None, (file, found[0].subject))) or "all files together"]
        for told in found:
            lines += _finding(told)
        lines.append("")
    lines += [f"exempt: {line}" for line in let_through(told.verdict for told in report.let_through)]
    lines += [f"expired: {line}" for line in _expired(report)]
    lines += [f"cannot read: {problem}" for problem in report.inputs.problems]
    return _UNPRINTABLE.sub("?", "\n".join([*lines, summary(report)]))


def summary(report: Report) -> str:
    """The counts in one line."""
    inputs = report.inputs
    counts = [
        counted(len(inputs.resources), "object"),
        counted(len(report.open), "finding"),
        f"{report.stopping} that stop" if report.stopping != 1 else "1 that stops",
    ]
    more = [
        (len(report.let_through), "exempt"),
        (len(report.expired), "expired exemptions" if len(report.expired) != 1 else "expired exemption"),
        (len(inputs.problems), "unreadable"),
    ]
    counts += [f"{count} {what}" for count, what in more if count]
    skipped = len(inputs.skipped) - len(inputs.patches)
    notes = [f"{counted(skipped, 'file')} without objects skipped"] if skipped else []
    notes += [f"{counted(len(inputs.patches), 'patch', 'patches')} of kustomizations skipped"] if inputs.patches else []
    if report.unjudged:
        kinds = ", ".join(report.unjudged)
        notes.append(f"{counted(sum(report.unjudged.values()), 'object')} with pods that no rule reads ({kinds})")
    return "; ".join([", ".join(counts), f"profile {report.policy.profile}", *notes])


def as_markdown(report: Report) -> str:
    """The same for a pull request: a table of what is wrong, the arithmetic folded away."""
    lines = [f"### {_verdict(report)}", "", _plain(summary(report)), ""]
    if report.open:
        lines += ["| | rule | object | where |", "|---|---|---|---|"]
    size, left = sum(map(len, lines)), list(report.open)
    details: list[str] = []
    while left:
        told = left[0]
        row, more = _row(told), _details(told)
        size += len(row) + len(more)
        if size > LONGEST_COMMENT:
            break
        lines.append(row)
        details.append(more)
        left.pop(0)
    if left:
        details.append(f"{counted(len(left), 'more finding')}: run `modelberth check` to see all.\n")
    tail = [f"- exempt: {_plain(line)}" for line in let_through(told.verdict for told in report.let_through)]
    tail += [f"- expired: {_plain(line)}" for line in _expired(report)]
    tail += [f"- cannot read: {_plain(str(problem))}" for problem in report.inputs.problems]
    if len(tail) > _MOST_NOTES:
        tail[_MOST_NOTES:] = [f"- {counted(len(tail) - _MOST_NOTES, 'more note')}"]
    return _UNPRINTABLE.sub("?", "\n".join([*lines, "", *details, *tail]).rstrip() + "\n")


def explained(rule: Rule) -> str:
    """Everything that a rule says about itself."""
    levels = ", ".join(f"{profile.value} {rule.levels.of(profile)}" for profile in Profile)
    lines = [f"{rule.id} {rule.name}", f"  {rule.title}.", "", f"  why          {rule.why}"]
    lines += [f"  way out      {rule.remediation}", f"  severity     {rule.severity}", f"  levels       {levels}"]
    if rule.foreign:
        levels = ", ".join(f"{profile.value} {rule.foreign.of(profile)}" for profile in Profile)
        lines.append(f"  of others    {levels} (for resources that our components did not write)")
    for threshold in rule.thresholds:
        default = list(threshold.default) if isinstance(threshold.default, tuple) else threshold.default
        lines.append(f"  {threshold.name}: {default}")
        lines.append(f"               {threshold.description}")
    return "\n".join([*lines, f"  source       {rule.source}"])


def counted(count: int, singular: str, plural: str = "") -> str:
    """A number of things, in words: "1 object"."""
    return f"{count:,} {singular if count == 1 else plural or f'{singular}s'}"


def _finding(told: Told) -> Iterator[str]:
    verdict = told.verdict
    yield f"  {told.spot.line}:{told.spot.column} {verdict.enforcement} {verdict.rule.id} {verdict.rule.title}"
    yield from (f"    {line}" for line in str(verdict.finding).split("\n"))


def _expired(report: Report) -> list[str]:
    return [
        f"the exemption from {', '.join(each.rules)} ended on {each.expires.isoformat()}: {each.reason}"
        for each in report.expired
    ]


def _verdict(report: Report) -> str:
    if report.inputs.problems:
        return "modelberth check could not read everything"
    if report.stopping:
        return f"modelberth check: {counted(report.stopping, 'finding')} would stop this"
    return "modelberth check: nothing would stop this"


def _row(told: Told) -> str:
    verdict = told.verdict
    level = f"**{verdict.enforcement}**" if verdict.stops else str(verdict.enforcement)
    where = f"`{_code(told.file)}:{told.spot.line}`" if told.file else ""
    return f"| {level} | {verdict.rule.id} {_plain(verdict.rule.title)} | `{_code(told.subject)}` | {where} |"


def _details(told: Told) -> str:
    head = f"{told.verdict.rule.id} {_plain(told.subject)}"
    fence = "````"
    body = str(told.verdict.finding).replace("```", "'''")
    return f"<details><summary>{head}</summary>\n\n{fence}\n{body}\n{fence}\n</details>\n"


def _plain(text: str) -> str:
    return text.translate(_BREAKS)


def _code(text: str) -> str:
    return text.replace("`", "'").replace("|", "\\|").replace("\n", " ")
