"""How what a cloud resource shows becomes findings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby

from modelberth.clouds.facts import Fact
from modelberth.clouds.remarks import Remark
from modelberth.findings import Finding, Level
from modelberth.rules.base import undecided


def told(rule_id: str, facts: Iterable[Fact]) -> Iterator[Finding]:
    """What does not hold, and, once for each cause, what cannot be decided. Advice is silent about what is unknown."""
    known = list(facts)
    for fact in known:
        if fact.holds is False:
            level = Level.WARNING if fact.minor else Level.ERROR
            yield Finding(rule_id, fact.node.path, fact.lacks, fact.remedy, level)
    open_ended = sorted((fact for fact in known if fact.holds is None and not fact.minor), key=_path)
    for _, group in groupby(open_ended, key=_path):
        asked = list(group)
        topics = list(dict.fromkeys(fact.topic for fact in asked))
        yield undecided(rule_id, f"whether {' and '.join(topics)}", asked[0].node)


def remarked(rule_id: str, question: str, remark: Remark) -> Finding:
    """A remark about a cloud's own field as a finding; about an unknown value as a doubt."""
    if remark.node.unknown:
        return undecided(rule_id, question, remark.node)
    level = Level.WARNING if remark.advice else Level.ERROR
    return Finding(rule_id, remark.node.path, remark.message, remark.remedy, level)


def as_advice(fact: Fact) -> Fact:
    """The same, printed and no more."""
    return replace(fact, minor=True)


def _path(fact: Fact) -> str:
    return fact.node.path
