"""A stack file, planned and created: `pulumi up` runs this."""

from pathlib import Path

import pulumi

from modelberth import lock, parse, stackfiles
from modelberth.components.options import refused
from modelberth.components.stack import deploy, log

ROOT = Path(__file__).resolve().parent
KEYS = ("target", "defaults", "pools", "weights", "services")

config = pulumi.Config("modelberth")
document = {key: value for key in KEYS if (value := config.get_object(key)) is not None}
lock_path = stackfiles.lock_path_of(pulumi.get_stack(), ROOT / "stacks")

stack = refused(lambda: parse.stack(document))
locked = refused(lambda: stackfiles.read_lock(lock_path))
settled = refused(lambda: lock.settle(stack, locked, stack_name=pulumi.get_stack()))
log(settled)
if settled.new and not pulumi.runtime.is_dry_run():
    lock_path.write_text(lock.dump(settled.lock), encoding="utf-8")

for name, service in deploy(stack, settled, ROOT).items():
    pulumi.export(name, {"endpoint": service.endpoint, "usd_per_hour": service.usd_per_hour, "plan": service.plan})
