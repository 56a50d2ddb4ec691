"""The flags of a build as the catalog holds them, against the ones that its own llama-server prints and takes."""

from __future__ import annotations

import re
import subprocess

import pytest

from modelberth.engines.flags import table
from tests.modelberth.samples import QWEN_7B, plan_of
from tests.ports import free_port
from tests.proofs import PARSER, claims
from toolchain import judges

pytestmark = pytest.mark.engine

BUILD = "b10434"
proves = claims("llamacpp", BUILD, PARSER)


@proves("our table of flags is what the server itself prints")
def test_the_table_of_the_build_is_what_its_own_server_prints() -> None:
    printed = subprocess.run([judges.llama_server(), "--help"], capture_output=True, text=True, check=True).stdout
    entries = re.split(r"\n(?=-)", re.sub(r",\s+-", ", -", printed))
    kept = [entry for entry in entries if entry.startswith("-") and "argument has been removed" not in entry]
    heads = [
        re.sub(r",\s+", ", ", entry).partition("  ")[0].partition("\n")[0]
        for entry in kept
        if not entry.startswith("-----")
    ]
    spelled = {flag for head in heads for flag in re.findall(r"(?<![\w-])--?[A-Za-z][\w.-]*", head)}
    assert set(table("llamacpp", BUILD).flags) == spelled
    assert {name for entry in kept for name in re.findall(r"\(env: ([A-Z0-9_]+)\)", entry)} == set(
        table("llamacpp", BUILD).env
    )


def test_a_rendered_command_line_of_that_build_is_taken_to_the_point_where_the_model_is_missing() -> None:
    made = plan_of(model=QWEN_7B, accelerators=["cpu"], concurrency=2, engine_version=BUILD)
    here = ("--host", "127.0.0.1", "--port", str(free_port()))  # it binds before it loads, so two servers would collide
    said = subprocess.run(
        [judges.llama_server(), *made.launch.args, *here], capture_output=True, text=True, check=False, timeout=60
    ).stderr
    assert "invalid argument" not in said
    assert "error while handling argument" not in said
    assert "failed to load model" in said or "failed to open" in said
