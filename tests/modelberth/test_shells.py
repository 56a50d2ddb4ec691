"""What a container starts: as Kubernetes replaces references, and as a real shell makes words of a script."""

from __future__ import annotations

import json
import os
import random
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from modelberth.engines import read
from modelberth.engines.shells import command_line, environment, started
from modelberth.observed import UNKNOWN

ENV = {"MODEL": "org/model", "LEN": "8192", "EMPTY": "", "ARGS": "--max-num-seqs 4 --enforce-eager", "QUOTED": "a'b\"c"}

SCRIPTS = [
    "vllm serve org/model --max-model-len 8192",
    "exec vllm serve org/model",
    "set -e\nvllm serve $MODEL --max-model-len $LEN",
    'set -eu; vllm serve "$MODEL" --max-model-len=${LEN}',
    "vllm serve ${MODEL:-other/model} --max-model-len ${EMPTY:-4096}",
    "vllm serve ${MODEL-other} ${MODEL:?missing}",
    "vllm serve $MODEL $ARGS",
    'vllm serve "$MODEL" "$ARGS" \'$ARGS\'',
    'vllm serve $MODEL $EMPTY "$EMPTY" x$EMPTY',
    'vllm serve --hf-overrides \'{"a": [1, 2]}\' "{\\"b\\": \\"$LEN\\"}"',
    'vllm serve a\\ b \'c d\'"e f"g $QUOTED "$QUOTED"',
    "vllm serve org/model \\\n  --max-model-len 8192 \\\n  # a comment\n",
    "vllm serve org/model # --max-model-len 8192",
    "vllm serve org/model#1 --x",
    "vllm serve org/model 2>/dev/null --port 9000 >/dev/null",
    "vllm serve org/model 2>&1 | cat",
    "mkdir -p /tmp && vllm serve org/model && echo done",
    "vllm serve org/model || exit 1",
    "(vllm serve org/model)",
    "{ vllm serve org/model; }",
    "A=1 B='2 3' vllm serve org/model --x $LEN",
    "NAME=org/other; vllm serve $NAME",
    "export NAME=org/other LEN=4096; vllm serve $NAME --max-model-len $LEN",
    'NAME="$MODEL-x" && vllm serve $NAME',
    "ONE=$ARGS; vllm serve $ONE",
    "if true; then echo yes; fi; vllm serve org/model",
    "if true; then vllm serve org/model; fi",
    "while true; do vllm serve org/model; break; done",
    'cd / && exec vllm serve "$@"',
    'exec vllm serve "$@" --port 9000',
    'vllm serve $1 $2 "$3"',
    'vllm serve pre"$@"post',
    "vllm serve $@ $*",
    'vllm serve \'it\'\'s\' "a\\$b" "a\\\\b" "a\\nb"',
    "vllm serve ''",
    "sleep 0; vllm serve org/model",
    "echo vllm serve nothing; vllm serve org/model",
]
ARGUMENTS = ["org/one two", "--x", "y z"]

UNREADABLE = [
    "vllm serve $(cat name)",
    "vllm serve `cat name`",
    "vllm serve ${MODEL%/*}",
    "vllm serve ${MODEL:+x}",
    "vllm serve ${#MODEL}",
    "vllm serve $((1 + 1))",
    "vllm serve $UNSET",
    "vllm serve ${UNSET:-org/model}",
    "vllm serve $0",
    "vllm serve $FROM_SECRET",
    "if [ -e /x ]; then NAME=a; fi; vllm serve $NAME",
    "test -e /x && NAME=a; vllm serve $NAME",
    "test -e /x || MODEL=a; vllm serve $MODEL",
    "read MODEL; vllm serve $MODEL",
    ". /etc/settings; vllm serve $MODEL",
    "for MODEL in a b; do vllm serve $MODEL; done",
    'set -- x; vllm serve "$@"',
    "MODEL=$(cat name); vllm serve $MODEL",
]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program called vllm that writes its own arguments down."""
    folder = tmp_path_factory.mktemp("bin")
    path = folder / "vllm"
    path.write_text('#!/bin/sh\nfor word in "$@"; do printf "%s\\0" "$word"; done >"$WORDS"\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def really(shell: str, script: str, program: Path, words: Path) -> list[str]:
    env = {"PATH": f"{program.parent}:{os.environ['PATH']}", "WORDS": str(words), **ENV}
    subprocess.run([shell, "-c", script, "name", *ARGUMENTS], env=env, check=False, capture_output=True, timeout=20)
    return words.read_text().split("\0")[:-1]


def ours(script: str, shell: str = "sh") -> list[Any]:
    env = [{"name": name, "value": value} for name, value in ENV.items()]
    env.append({"name": "FROM_SECRET", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}})
    escaped = script.replace("$$", "$$$$")  # Kubernetes makes one of two
    words = command_line({"command": [shell, "-c", escaped, "name", *ARGUMENTS], "env": env})
    at = next(i for i, word in enumerate(words) if word == "vllm")
    return words[at + 1 :]


@pytest.mark.parametrize("shell", [name for name in ("sh", "bash") if shutil.which(name)])
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_reaches_the_server_as_a_real_shell_makes_it(
    script: str, shell: str, program: Path, tmp_path: Path
) -> None:
    assert ours(script, shell) == really(shell, script, program, tmp_path / "words")


def test_generated_words_are_quoted_and_split_as_a_real_shell_does(program: Path, tmp_path: Path) -> None:
    chance = random.Random(11)  # noqa: S311
    pieces = [
        "${MODEL}", '"$MODEL"', "'$MODEL'", "${EMPTY}", '"$EMPTY"', "${ARGS}", '"$ARGS"', "${LEN}", '"${EMPTY:-4096}"',
        "plain", "'a b'", '"a b"', "\\ ", "\\$", '"\\""', "'\"'", "--flag=", "=", "#", "a#b", '"$@"', "$1", '"$2"',
        "\\\n", "{x}",
    ]  # fmt: skip
    for _ in range(200):
        words = ("".join(chance.choices(pieces, k=chance.randint(1, 4))) for _ in range(chance.randint(1, 5)))
        script = "vllm serve " + " ".join(words)
        assert ours(script) == really("sh", script, program, tmp_path / "words"), script


@pytest.mark.parametrize("script", UNREADABLE)
def test_what_only_the_running_shell_knows_is_unknown(script: str) -> None:
    assert UNKNOWN in ours(script)
    assert not {"org/model", "a", "x"} & {word for word in ours(script) if isinstance(word, str)}


def test_one_unreadable_word_leaves_the_others_legible() -> None:
    assert ours("vllm serve $MODEL --max-model-len=$(cat len) --port 9000") == [
        "serve", "org/model", "--max-model-len", UNKNOWN, "--port", "9000",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "script",
    [
        "if [ $RANK = 0 ]; then vllm serve a; else vllm serve b --headless; fi",
        "vllm serve a & vllm serve b",
        "vllm serve a || vllm serve b",
    ],
)
def test_a_choice_between_servers_is_not_decided(script: str) -> None:
    assert ours(script) == ["serve", UNKNOWN]
    observed = read({"command": ["sh", "-c", script], "image": "vllm/vllm-openai:v0.33.0"})
    assert observed is not None
    assert observed.model is None
    assert observed.undecided


@pytest.mark.parametrize("script", ["vllm serve 'a", 'vllm serve "a', "vllm serve $(a", "cat <<END\nvllm serve\nEND"])
def test_a_script_that_is_not_read_to_its_end_is_unknown(script: str) -> None:
    assert command_line({"command": ["sh", "-c", script]}) == [UNKNOWN]


@pytest.mark.parametrize(
    ("written", "passed"),
    [
        ("$(A)", "one"),
        ("x$(A)y$(B)", "xoney$(A)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$one"),
        ("$$$$(A)", "$$(A)"),
        ("$(MISSING)", "$(MISSING)"),
        ("$(A", "$(A"),
        ("$A", "$A"),
        ("$(C)", "one-two"),
        ("--flag=$(A)", "--flag=one"),
    ],
)
def test_references_are_replaced_as_kubernetes_does(written: str, passed: str) -> None:
    """The cases of k8s.io/kubernetes third_party/forked/golang/expansion that command lines meet."""
    env = [{"name": "A", "value": "one"}, {"name": "B", "value": "$$(A)"}, {"name": "C", "value": "$(A)-two"}]
    assert command_line({"command": ["program"], "args": [written], "env": env}) == ["program", passed]


def test_a_variable_only_refers_to_those_before_it() -> None:
    env = [{"name": "FIRST", "value": "$(SECOND)"}, {"name": "SECOND", "value": "2"}]
    assert environment({"env": env}) == {"FIRST": "$(SECOND)", "SECOND": "2"}


def test_what_a_secret_or_a_config_map_fills_in_is_unknown() -> None:
    secret = {"name": "S", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}
    assert command_line({"args": ["--key", "$(S)", "--port=$(S)"], "env": [secret]}) == [
        "--key", UNKNOWN, "--port", UNKNOWN,
    ]  # fmt: skip
    imported = {"args": ["--len", "$(LEN)"], "envFrom": [{"configMapRef": {"name": "settings"}}]}
    assert command_line(imported) == ["--len", UNKNOWN]
    script = {"command": ["sh", "-c", "vllm serve $(MODEL) --port 9000"], "envFrom": imported["envFrom"]}
    assert command_line(script) == ["vllm", "serve", UNKNOWN, "--port", "9000"]


def test_the_server_sees_what_its_shell_exports() -> None:
    script = "export VLLM_MLA_DISABLE=1; VLLM_DP_SIZE=2 vllm serve org/model"
    assert started({"command": ["sh", "-c", script]}).env == {"VLLM_MLA_DISABLE": "1", "VLLM_DP_SIZE": "2"}
    observed = read({"image": "vllm/vllm-openai:v0.33.0", "command": ["sh", "-c", script]})
    assert observed is not None
    assert {"VLLM_MLA_DISABLE", "VLLM_DP_SIZE"} <= set(dict(observed.undecided))


@pytest.mark.parametrize(
    "command",
    [
        ["/bin/bash", "-lc", "vllm serve m"],
        ["bash", "-o", "pipefail", "-ec", "vllm serve m"],
        ["/usr/bin/env", "sh", "-c", "vllm serve m"],
        ["tini", "--", "sh", "-c", "vllm serve m"],
        ["dumb-init", "vllm", "serve", "m"],
    ],
)
def test_a_shell_is_found_behind_what_starts_it(command: list[str]) -> None:
    assert command_line({"command": command})[-3:] == ["vllm", "serve", "m"]


def test_json_reaches_the_server_through_shell_and_reference() -> None:
    value = json.dumps({"method": "ngram", "num_speculative_tokens": 3})
    script = "vllm serve m --speculative-config '$(SPEC)'"
    made = {"command": ["sh", "-c", script], "env": [{"name": "SPEC", "value": value}]}
    assert command_line(made)[-1] == value
