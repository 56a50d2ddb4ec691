"""Many services on one stack: the program names each of its resources once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml

from benchmarks.hundred import TARGETS, keys
from tests.modelberth.samples import ROOT

COUNT = 12


@pytest.mark.parametrize("target", TARGETS)
def test_no_two_resources_of_a_dozen_services_have_one_urn(target: str, tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.many.yaml"
    file.write_text(yaml.safe_dump({"config": {f"modelberth:{k}": v for k, v in keys(target, COUNT).items()}}))
    recorder = ROOT / "tests" / "components" / "record.py"
    done = subprocess.run([sys.executable, str(recorder), str(file)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (registered,) = json.loads(done.stdout)
    urns = Counter((each["parent"].rpartition("::")[0], each["type"], each["name"]) for each in registered)
    assert [urn for urn, count in urns.items() if count > 1] == []
    assert sum(type_ == "modelberth:index:LLMService" for _, type_, _ in urns) == COUNT
