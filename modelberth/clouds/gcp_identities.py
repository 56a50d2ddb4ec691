"""Who may do what in Google Cloud: IAM members and bindings, as pulumi-gcp sends them."""

from __future__ import annotations

import re

_DIRECT = re.compile(
    r"principal://iam\.googleapis\.com/projects/[^/]+/locations/global/workloadIdentityPools/[^/]+\.svc\.id\.goog/subject/"
    r"ns/(?P<namespace>[^/]+)/sa/(?P<account>[^/]+)"
)
_CLASSIC = re.compile(r"serviceAccount:[^/\[\]]+\.svc\.id\.goog\[(?P<namespace>[^/\]]+)/(?P<account>[^\]]+)\]")
_MANY = re.compile(
    r"principalSet://iam\.googleapis\.com/projects/[^/]+/locations/global/workloadIdentityPools/[^/]+\.svc\.id\.goog/.+"
)


def account_of(member: str) -> tuple[str, str] | None:
    """(namespace, ServiceAccount) of the pods that a member names; both "*" for a set of them, None for anyone else."""
    match = _DIRECT.fullmatch(member) or _CLASSIC.fullmatch(member)
    if match:
        return match["namespace"], match["account"]
    return ("*", "*") if _MANY.fullmatch(member) else None
