"""What an account may have, asked of its cloud: the commands, what they print, and where more is asked for."""

from __future__ import annotations

from collections.abc import Iterable

from modelberth.clouds import aws_limits, gcp_limits
from modelberth.clouds.limits import Ask, Limit, Unread
from modelberth.clouds.quotas import QuotaNeed
from modelberth.targets import Target

__all__ = ["Ask", "Limit", "Unread", "asks", "how_to_raise", "limits", "names"]


def asks(target: Target, needs: Iterable[QuotaNeed]) -> tuple[Ask, ...]:
    """The commands that print the limits of these quotas; none for a cluster that is only reached."""
    if target.gke:
        return tuple(gcp_limits.asks(target.gke, needs))
    return tuple(aws_limits.asks(target.eks, needs)) if target.eks else ()


def limits(target: Target, text: str) -> tuple[Limit, ...]:
    """What a document of one of the commands says. Raises :class:`Unread`."""
    try:
        return gcp_limits.limits(text) if target.gke else aws_limits.limits(text)
    except ValueError:
        raise Unread("it is not what the commands print") from None


def names(target: Target) -> frozenset[str]:
    """What a document may call the account of a target."""
    if target.gke:
        return frozenset((target.gke.project, target.gke.project_number))
    return frozenset((target.eks.account,)) if target.eks else frozenset()


def how_to_raise(target: Target, need: QuotaNeed, amount: int) -> str:
    """Where, or how, a limit of so much is asked for."""
    if target.gke:
        return gcp_limits.how_to_raise(target.gke, need, amount)
    return aws_limits.how_to_raise(target.eks, need, amount) if target.eks else ""
