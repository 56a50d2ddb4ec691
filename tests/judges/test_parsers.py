"""The engines' own argument parsers run beside a stand-in for torch: they have the options that they have with it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.proofs import PARSER, claims_of_each
from toolchain import inference, judges

pytestmark = pytest.mark.engine
proves = claims_of_each({"vllm": inference.VLLM_PARSER, "sglang": inference.SGLANG_PARSER}, PARSER)

BESIDE_TORCH = {
    "vllm": "b75469389fdc09375ee6ff0dbda7d42530cd35e6c8818e71be54619f28cf17c0",
    "sglang": "40af87890626fc60668ce38915202b0ec45ac46bd8d0d2bc362db19d9c3db788",
}
"""SHA-256 of the options of vLLM 0.33.0 and SGLang 0.5.23, dumped with torch installed."""

SOURCES = {"vllm": inference.vllm_source, "sglang": inference.sglang_source}


@proves("run beside a stand-in for torch, it has the options that it has with torch")
@pytest.mark.parametrize("engine", BESIDE_TORCH)
def test_the_stand_in_for_torch_changes_no_option(engine: str) -> None:
    dump = Path(inference.STAND_IN).with_name("dump.py")
    source = SOURCES[engine]()
    done = judges.run(str(inference.python()), str(dump), engine, env=inference.parse_environment(source))
    assert done.returncode == 0, done.stderr
    assert hashlib.sha256(done.stdout.encode()).hexdigest() == BESIDE_TORCH[engine]
