"""`make placement`: every trial, the table, and docs/placement.md. Ends with 1 where the two disagree."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.placement.cases import cases
from tests.placement.page import PAGE, page
from tests.placement.scheduled import disagreement, every_trial, rendered, run
from toolchain.cluster import down, up
from toolchain.kube import Kube

NODES = Path(__file__).resolve().parents[2] / "toolchain" / "clusters" / "local.yaml"


def main() -> int:
    """On a cluster of its own, which is gone afterwards."""
    tried = every_trial()
    with tempfile.TemporaryDirectory() as folder:
        pods = rendered(cases(), Path(folder))
        state = Path(folder) / "cluster"
        try:
            outcomes = run(Kube(up(state, NODES).kubeconfig), tried, pods)
        finally:
            down(state, purge=True)
    wrong = [said for trial in tried if (said := disagreement(trial, outcomes[trial.name]))]
    if not wrong:
        PAGE.write_text(page(outcomes, tried), encoding="utf-8")
    print(page(outcomes, tried))
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
