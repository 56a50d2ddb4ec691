"""What credentials look like, whoever holds them; and text without any."""

from __future__ import annotations

import re

_PATTERNS = {
    "a token of Hugging Face": r"(?<![A-Za-z0-9_])hf_(?=[A-Za-z0-9]*[A-Z0-9])[A-Za-z0-9]{16,}",
    "an API key": (
        r"(?<![A-Za-z0-9_-])sk-(?:[a-z0-9]{2,12}-)*(?=[A-Za-z0-9_]*[0-9])(?=[A-Za-z0-9_]*[A-Za-z])[A-Za-z0-9_]{12,}"
    ),
    "an access key of AWS": r"(?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])",
    "a token of GitHub": r"(?<![A-Za-z0-9_])(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{22,})",
    "a token of GitLab": r"(?<![A-Za-z0-9_-])glpat-[A-Za-z0-9_-]{20,}",
    "a token of Slack": r"(?<![A-Za-z0-9_-])xox[abeoprs]-[A-Za-z0-9-]{10,}",
    "an API key of Google": r"(?<![A-Za-z0-9_-])AIza[A-Za-z0-9_-]{35}",
    "an API key of NVIDIA": r"(?<![A-Za-z0-9_-])nvapi-[A-Za-z0-9_-]{20,}",
    "a private key": r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----",
    "a signed token (JWT)": r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",
    "an address with a password": r"(?<=[a-z0-9]://)[^\s:/@$<{]{0,99}:(?![$<{*])[^\s:/@$<{]{3,99}@(?=[A-Za-z0-9\[])",
}
"""Shapes as their issuers document them: Hugging Face, OpenAI, AWS, GitHub, GitLab, Slack, Google, NVIDIA; RFC 7468,
7519 and 3986. What only stands for a credential (all of one letter, words) is none.
"""
SHAPES = {what: re.compile(pattern) for what, pattern in _PATTERNS.items()}
"""By what they are."""
_ANY = re.compile("|".join(f"(?:{pattern})" for pattern in _PATTERNS.values()))
HIDDEN = "(a credential, not shown)"


def hidden(text: str) -> str:
    """The same text with every credential in it left out."""
    return _ANY.sub(HIDDEN, text)
