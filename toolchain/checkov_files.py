"""Checkov over several files, each judged by itself. Runs in the judges' environment; prints JSON, a list per file.

Importing checkov takes longer than judging a stack with it, so one process judges them all.
"""

import json
import logging
import sys

logging.disable(logging.CRITICAL)

from checkov.kubernetes.runner import Runner  # noqa: E402 (logging is silenced first)
from checkov.runner_filter import RunnerFilter  # noqa: E402

found = []
for file in sys.argv[1:]:
    report = Runner().run(root_folder=None, files=[file], runner_filter=RunnerFilter(framework=["kubernetes"]))
    found.append([{"id": check.check_id, "resource": check.resource} for check in report.failed_checks])
print(json.dumps(found))
