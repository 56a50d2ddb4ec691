"""The refusals that parsers and llama-server print, asked of the real ones: tests/rules/refusals.yaml."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.judges.parser_process import VERSIONS, ParserProcess, Refusal
from tests.rules.test_refusals import REFUSALS
from toolchain import judges

pytestmark = pytest.mark.engine

OF_PARSERS = [each for each in REFUSALS if each.get("judge") == "parser"]
OF_SERVERS = [each for each in REFUSALS if each.get("judge") == "server"]


@pytest.fixture(scope="module")
def parsers() -> Iterator[dict[str, ParserProcess]]:
    started = {engine: ParserProcess(engine) for engine in sorted({each["engine"] for each in OF_PARSERS})}
    yield started
    for each in started.values():
        each.close()


@pytest.mark.parametrize("refusal", OF_PARSERS, ids=lambda each: f"{each['engine']}-{each['message'][:60]}")
def test_the_parser_refuses_in_these_words(refusal: dict[str, Any], parsers: dict[str, ParserProcess]) -> None:
    assert refusal["version"] == VERSIONS[refusal["engine"]]
    with pytest.raises(Refusal) as refused:
        parsers[refusal["engine"]].values(refusal["arguments"])
    assert refusal["message"] in str(refused.value)


@pytest.mark.parametrize("refusal", OF_SERVERS, ids=lambda each: each["message"][:60])
def test_llama_server_refuses_in_these_words(refusal: dict[str, Any]) -> None:
    assert refusal["version"] == "b10434"
    said = subprocess.run(
        [judges.llama_server(), *refusal["arguments"]], capture_output=True, text=True, check=False, timeout=60
    )
    assert said.returncode != 0
    assert refusal["message"] in said.stderr
