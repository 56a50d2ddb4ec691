"""Checkov over several files, each judged by itself: `checkov_files.py FRAMEWORK FILE ...`, the framework being
kubernetes or terraform_plan. Runs in the judges' environment; prints JSON: for each file the checks that failed and
that passed.

Importing checkov takes longer than judging a stack with it, so one process judges them all.
"""

import importlib
import json
import logging
import sys

logging.disable(logging.CRITICAL)

from checkov.runner_filter import RunnerFilter  # noqa: E402 (logging is silenced first)

RUNNERS = {"kubernetes": "checkov.kubernetes.runner", "terraform_plan": "checkov.terraform.plan_runner"}
framework, files = sys.argv[1], sys.argv[2:]
runner = importlib.import_module(RUNNERS[framework]).Runner


def seen(checks: list) -> list[dict[str, str]]:
    """Each check with the resource that it is about."""
    return [{"id": check.check_id, "resource": check.resource} for check in checks]


found = []
for file in files:
    report = runner().run(root_folder=None, files=[file], runner_filter=RunnerFilter(framework=[framework]))
    if report.parsing_errors:
        sys.exit(f"not read: {report.parsing_errors}")
    found.append({"failed": seen(report.failed_checks), "passed": seen(report.passed_checks)})
print(json.dumps(found))
