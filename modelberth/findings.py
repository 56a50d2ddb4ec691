"""What is wrong, where, and the way out: the one shape that every refusal and every advice takes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from modelberth.credential_shapes import hidden
from modelberth.errors import ModelberthError


class Level(StrEnum):
    """How a finding acts: an error stops before anything is created, a warning is printed, a note explains."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Nature(StrEnum):
    """What a finding of a rule says: something is wrong, or cannot be decided, or the rule itself failed."""

    WRONG = "wrong"
    UNDECIDED = "undecided"
    INTERNAL = "internal"


@dataclass(frozen=True)
class Finding:
    """One statement about one place.

    ``path`` names the field in the terms of whoever wrote it ("services.chat.context",
    "spec.template.spec.containers[0].args"). Neither message nor remedy holds what looks like a
    credential, whatever was written.
    """

    code: str
    path: str
    message: str
    remedy: str = ""
    level: Level = Level.ERROR
    nature: Nature = Nature.WRONG

    def __post_init__(self) -> None:
        for field in ("message", "remedy"):
            object.__setattr__(self, field, hidden(getattr(self, field)))

    def __str__(self) -> str:
        text = f"{self.path}: {self.message}" if self.path else self.message
        return f"{text}\n    way out: {self.remedy}" if self.remedy else text


class Refused(ModelberthError):
    """Nothing was created: the findings say why. ``str(error)`` is the whole story, all problems at once."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(findings)
        count = len(self.findings)
        head = "1 problem" if count == 1 else f"{count} problems"
        super().__init__(f"{head}, nothing was created\n" + "\n".join(f"  {finding}" for finding in self.findings))


def errors(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings that stop."""
    return tuple(finding for finding in findings if finding.level is Level.ERROR)


def refuse(findings: Iterable[Finding]) -> None:
    """Raise :class:`Refused` when any finding is an error; otherwise do nothing."""
    found = errors(findings)
    if found:
        raise Refused(found)
