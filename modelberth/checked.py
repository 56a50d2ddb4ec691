"""What a run of ``modelberth check`` found, each finding with its place in a file and a name that outlives its line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import PurePath

from modelberth.inputs import Inputs
from modelberth.marks import Illegible, Spot
from modelberth.policyfile import Exemption, PolicyFile
from modelberth.resources import Resource
from modelberth.sources import Source
from modelberth.unjudged import unjudged
from modelberth.verdicts import Verdict, judge_all

_NOWHERE = Spot(1, 1)


@dataclass(frozen=True, eq=False)
class Told:
    """A finding and where it is: ``file`` as it was named, with slashes; empty where it is about no file.

    ``fingerprint`` is the same as long as rule, object, field and file are, whatever moves above them.
    """

    verdict: Verdict
    file: str
    spot: Spot
    fingerprint: str

    @property
    def subject(self) -> str:
        """What it is about: "Deployment models/chat"."""
        return self.verdict.resource.subject if self.verdict.resource else ""


@dataclass(frozen=True, eq=False)
class Report:
    """Everything that a format can tell."""

    policy: PolicyFile
    inputs: Inputs
    told: tuple[Told, ...]

    @cached_property
    def stopping(self) -> int:
        """Findings that stop."""
        return sum(told.verdict.stops for told in self.told)

    @property
    def open(self) -> tuple[Told, ...]:
        """Findings that no exemption lets through."""
        return tuple(told for told in self.told if told.verdict.exemption is None)

    @property
    def let_through(self) -> tuple[Told, ...]:
        """Those that one does."""
        return tuple(told for told in self.told if told.verdict.exemption is not None)

    @cached_property
    def unjudged(self) -> dict[str, int]:
        """Kinds of objects that make pods which no rule reads, each with how many there are."""
        return unjudged(self.inputs.resources)

    @property
    def expired(self) -> tuple[Exemption, ...]:
        """Exemptions that have ended."""
        return tuple(each for each in self.policy.exemptions if each.expires < self.policy.today)

    @property
    def exit_code(self) -> int:
        """2: something could not be read, 1: something stops, 0: nothing does."""
        return 2 if self.inputs.problems else int(self.stopping > 0)


def report(inputs: Inputs, policy: PolicyFile) -> Report:
    """Judge everything that was read."""
    home = {resource: source for source in inputs.sources for resource in source.resources}
    verdicts = judge_all(inputs.resources, policy)
    order = {source.place: index for index, source in enumerate(inputs.sources)}
    located = [(verdict, *_place(verdict, home)) for verdict in verdicts]
    located.sort(key=lambda each: (order.get(each[1], -1), each[2], not each[0].stops, each[0].rule.id))
    return Report(policy, inputs, tuple(_named(located)))


def as_posix(place: str) -> str:
    """A file's name with slashes on every system."""
    return PurePath(place).as_posix()


def _place(verdict: Verdict, home: dict[Resource, Source]) -> tuple[str, Spot]:
    source = home.get(verdict.resource) if verdict.resource else None
    if source is None or verdict.resource is None:
        return "", _NOWHERE
    try:
        return source.place, source.spot(verdict.resource, verdict.finding.path)
    except Illegible:
        return source.place, _NOWHERE


def _named(located: Iterable[tuple[Verdict, str, Spot]]) -> Iterator[Told]:
    met: dict[str, int] = {}
    for verdict, place, spot in located:
        finding, resource = verdict.finding, verdict.resource
        about = f"{resource.type} {resource.shown_name}" if resource else ""
        parts = (verdict.rule.id, finding.nature, as_posix(place), about, finding.path)
        name = sha256("\n".join(parts).encode("utf-8", "replace")).hexdigest()[:32]
        met[name] = count = met.get(name, 0) + 1
        yield Told(verdict, as_posix(place), spot, f"{name}:{count}")
