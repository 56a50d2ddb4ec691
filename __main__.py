"""A stack file, planned and created: `pulumi up` runs this."""

import sys
from datetime import UTC, datetime
from pathlib import Path

import pulumi

from modelberth import lock, stackfiles
from modelberth.components.stack import configured, deploy, log, objections, preflight
from modelberth.errors import ModelberthError
from modelberth.report import bill_json

ROOT = Path(__file__).resolve().parent
FOLDER = ROOT / "stacks"
ALREADY_SHOWN = 32  # the exit code that tells the engine to add nothing to what the program said

lock_path = stackfiles.lock_path_of(pulumi.get_stack(), FOLDER)
try:
    stack = stackfiles.stack_of(configured(), FOLDER)
    found = objections(stack, ROOT, datetime.now(tz=UTC).date())
    settled = lock.settle(stack, stackfiles.read_lock(lock_path), stack_name=pulumi.get_stack(), found=found)
    missing = preflight(stack, settled, ROOT)
    if settled.unwritten and not pulumi.runtime.is_dry_run():
        stackfiles.write_lock(lock_path, settled.lock)
except ModelberthError as error:
    pulumi.log.error(str(error))
    sys.exit(ALREADY_SHOWN)

log(settled, missing)
for name, service in deploy(stack, settled, ROOT, pulumi.export).items():
    shown = {"endpoint": service.endpoint, "usd_per_hour": service.usd_per_hour, "plan": service.plan}
    pulumi.export(name, shown | ({"url": service.url} if stack.services[name].expose else {}))
if settled.bill.costs:
    pulumi.export("cost_by_component", bill_json(settled.bill))
