"""What a credential looks like: by its shape, and by the name of what holds it."""

from __future__ import annotations

import re
from enum import Enum, auto

from modelberth.credential_shapes import SHAPES

_STANDS_FOR_ONE = re.compile(
    r"(.)\1*|x{3,}.*|.*(x{6,}|\*{3,}|\.{3}|0123456789abcdef{3,}).*|"
    r"(sk-)?(no|none|not|null|nil|empty|dummy|fake|sample|todo|tbd|test|unset|unused|any|anything|default|"
    r"disabled|redacted|hidden|masked|placeholder|optional|required|string|change-?me|changeit|replace-?me|insert-?here)"
    r"([-_ ]?(key|token|secret|password|api[-_]?key|required|needed|used|set|here|value))*"
    r"([-_ ]?(123(4567890?)?|0?987654321))?|"
    r"(your|my|the|insert|replace|enter|put)[-_ ].*|.*[-_ ](here|goes[-_ ]here)|true|false|yes|on|off",
    re.IGNORECASE | re.DOTALL,
)
_REFERENCE = re.compile(
    r"\$.*|.*\$[({].*|<.*>|\{\{.*|.*\{\{.*|\[.*|%.*|&.*|@.*|[/~.].*|[A-Za-z][A-Za-z0-9+.-]*://.*|"
    r"(vault|file|env|op|sm|secret|ref|arn|projects|aws-sm|gcp-sm|doppler)[:+/].*|[+-]?[\d.,_]+|.*\s.*",
    re.DOTALL,
)
"""Values that name where a credential is, or are none: expansions, templates, paths, addresses, numbers, prose."""


class Naming(Enum):
    """Whether something named so holds a credential."""

    NO = auto()
    MAYBE = auto()
    """Only a value that looks like chance is one: names of Secrets and of keys are called the same."""
    SURELY = auto()


_SURELY = re.compile(
    r"(.*_)?(api_?keys?|access_?key|secret_?key|secret_?access_?key|private_?key|encryption_?key|signing_?key|"
    r"master_?key|license_?key|account_?key|auth_?key|password|passwd|passphrase|pwd_?secret|client_?secret|"
    r"jwt_?secret|app_?secret|webhook_?secret|token)"
)
_MAYBE = re.compile(r"(.*_)?(key|keys|secret|secrets|credential|credentials|(api|auth|access)_tokens|pass)")
_NEVER = re.compile(
    r"(.*_)?(public_key|(eos|bos|pad|unk|sep|cls|mask|stop|end|start|image|special|next|page|per|by|each|first|last|"
    r"max|min|num|think|tool|audio|video|continuation|cancellation|refresh_interval)_token|publishable_key|"
    r"(cache|partition|sort|primary|foreign|routing|group|hash|session|lookup|label|topology|idempotency)_key)"
)


def naming(name: str) -> Naming:
    """Whether a variable or an entry of this name holds a credential."""
    plain = re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()).strip("_")
    if _NEVER.fullmatch(plain):
        return Naming.NO
    if _SURELY.fullmatch(plain):
        return Naming.SURELY
    return Naming.MAYBE if _MAYBE.fullmatch(plain) else Naming.NO


def flag_named(word: str) -> Naming:
    """Whether what follows this word of a command line is a credential."""
    return naming(word.lstrip("-")) if re.fullmatch(r"--?[A-Za-z][A-Za-z0-9_.-]*", word) else Naming.NO


def shape(text: str) -> str:
    """What a text holds by its shape alone; empty for nothing."""
    found = ((what, match[0]) for what, pattern in SHAPES.items() for match in pattern.finditer(text))
    return next((what for what, seen in found if not _stands_for_one(seen)), "")


def _stands_for_one(seen: str) -> bool:
    """Whether it is what documentation writes: hf_xxxx, sk-your-key-here."""
    rest = seen.rpartition("_" if seen.startswith(("hf_", "gh")) else "-")[2] or seen
    return bool(_STANDS_FOR_ONE.fullmatch(rest))


def is_credential(value: str, called: Naming) -> bool:
    """Whether a value under such a name is a credential that is spelled out."""
    if called is Naming.NO or not value.strip() or _REFERENCE.fullmatch(value) or _STANDS_FOR_ONE.fullmatch(value):
        return False
    return called is Naming.SURELY or _by_chance(value)


def _by_chance(value: str) -> bool:
    """Whether a value looks made by chance: a long run of letters and figures that is no word and no hash."""
    if re.fullmatch(r"(sha\d+:)?[0-9a-f]{40,}", value):
        return False
    runs = re.findall(r"[A-Za-z0-9+/]{12,}", value)
    return any(re.search(r"\d.*\d", run) and re.search(r"[A-Za-z].*[A-Za-z]", run) for run in runs)


_ASSIGNED = re.compile(
    r"(?:^|[\s;&|\"'{,(])(?:export\s+)?(?P<name>--?[A-Za-z][A-Za-z0-9_.-]*|[A-Za-z][A-Za-z0-9_.-]*)[\"']?"
    r"(?:\s*[:=]\s*|(?<=[A-Za-z])\s+)(?P<quote>[\"'`]?)(?P<value>[A-Za-z0-9_+/=~!@#%^&*.-]{4,})"
    r"(?=[\"'`\s;,&|)}]|$)"
)
_BEARER = re.compile(r"\b(?:Bearer|Basic)\s+(?P<value>[A-Za-z0-9_+/=~.-]{12,})")


def in_text(text: str) -> bool:
    """Whether a script or a file spells a credential out: ``--api-key VALUE``, ``NAME=VALUE``, ``Bearer VALUE``."""
    if any(_by_chance(match["value"]) for match in _BEARER.finditer(text)):
        return True
    return any(_assigns(match) for match in _ASSIGNED.finditer(text))


def _assigns(match: re.Match[str]) -> bool:
    name, value = match["name"], match["value"]
    flag = name.startswith("-")
    called = flag_named(name) if flag else naming(name)
    spelled_out = flag or (name.isupper() and "=" in match[0])
    if called is not Naming.SURELY or value.startswith("-") or not is_credential(value, called):
        return False
    return spelled_out or (bool(match["quote"]) and _by_chance(value)) or _by_chance(value)
