"""What a deployer is allowed on AWS, as a policy of IAM."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from modelberth.catalog.loader import index, read_rows
from modelberth.catalog.schema import Row, Text

from .permissions import needs

PASS_ROLE = "iam:PassRole"  # noqa: S105 (an action, no password)
MAKE_LINKED_ROLE = "iam:CreateServiceLinkedRole"
LONGEST_POLICY = 6144
"""Characters of a managed policy, white space not counted (IAM quotas, docs.aws.amazon.com, 2026-11)."""


class OtherName(Row):
    """An operation of an API that is allowed by an action of another name."""

    operation: Text
    action: Text


@cache
def other_names() -> Mapping[str, OtherName]:
    """The operations whose action has another name, by operation."""
    return index(read_rows(files("modelberth.clouds") / "actions_aws.yaml", OtherName), lambda row: row.operation)


def action(operation: str) -> str:
    """The action that allows an operation: ``eks:CreateCluster`` for ``eks.CreateCluster``."""
    other = other_names().get(operation)
    return other.action if other else operation.replace(".", ":", 1)


def permissions(types: Iterable[str]) -> tuple[str, ...]:
    """The least actions that make, change and remove resources of some types, sorted.

    Raises :class:`~modelberth.clouds.permissions.Unlisted` for a type without a row.
    """
    found = needs("aws", types)
    actions = {action(call) for row in found for call in row.calls} | {each for row in found for each in row.more}
    actions |= {PASS_ROLE for row in found if row.passes} | {MAKE_LINKED_ROLE for row in found if row.linked}
    return tuple(sorted(actions))


def policies(types: Iterable[str]) -> tuple[str, ...]:
    """The policy as JSON, in as many documents as the limit of a managed policy asks for.

    A role may only be handed to the services that the types hand one to, and linked roles only made for theirs.
    """
    wanted = tuple(types)
    found = needs("aws", wanted)
    conditional = {PASS_ROLE, MAKE_LINKED_ROLE}
    plain = [each for each in permissions(wanted) if each not in conditional]
    statements = [
        _statement(PASS_ROLE, "iam:PassedToService", sorted({each for row in found for each in row.passes})),
        _statement(MAKE_LINKED_ROLE, "iam:AWSServiceName", sorted({each for row in found for each in row.linked})),
    ]
    documents: list[list[dict[str, Any]]] = [[each for each in statements if each]]
    for service in sorted({each.partition(":")[0] for each in plain}):
        allowed = [each for each in plain if each.startswith(f"{service}:")]
        statement = {"Sid": service.capitalize(), "Effect": "Allow", "Action": allowed, "Resource": "*"}
        if len(_document([*documents[-1], statement], indent=None)) > LONGEST_POLICY:
            documents.append([])
        documents[-1].append(statement)
    return tuple(_document(each, indent=2) for each in documents if each)


def _statement(allowed: str, key: str, services: list[str]) -> dict[str, Any]:
    if not services:
        return {}
    condition = {"StringEquals": {key: services}}
    name = allowed.partition(":")[2]
    return {"Sid": name, "Effect": "Allow", "Action": [allowed], "Resource": "*", "Condition": condition}


def _document(statements: list[dict[str, Any]], indent: int | None) -> str:
    separators = (",", ":") if indent is None else None
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, indent=indent, separators=separators)
