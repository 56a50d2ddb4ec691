"""Identities of pods and what they may do in a cloud, in the words of no cloud."""

from __future__ import annotations

from modelberth.clouds import gcp_identities
from modelberth.node import Node


def of_pods(member: Node) -> bool:
    """Whether a member of a grant is an identity that pods have without a key."""
    return gcp_identities.account_of(member.text()) is not None
