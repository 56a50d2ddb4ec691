"""The engines' own parsers judge what is launched, and agree with what is read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from modelberth.catalog import catalog
from modelberth.engines import ENGINES, read
from modelberth.engines.flags import command_line, human_number, parse, table
from modelberth.observed import Observed
from tests.judges.parser_process import SOURCES, VERSIONS, ParserProcess, Refusal
from tests.judges.written_lines import SGLANG, VLLM, Line, lines
from tests.modelberth.lines import cases
from tests.modelberth.samples import ROOT, container
from tests.proofs import PARSER, claims_of_each

pytestmark = pytest.mark.engine
proves = claims_of_each(VERSIONS, PARSER)

MENUS = {"vllm": VLLM, "sglang": SGLANG}
MODELS = ["meta-llama/Llama-3.1-8B-Instruct", "Qwen/Qwen2.5-7B-Instruct"]
COUNT = 200
STARTS = {"vllm": (["vllm", "serve"],), "sglang": (["sglang.launch_server"], ["sglang", "serve"])}
"""Words that end what is not for the parser."""
FACTS = {
    "vllm": {
        "context": "max_model_len",
        "tensor_parallel": "tensor_parallel_size",
        "pipeline_parallel": "pipeline_parallel_size",
        "max_num_seqs": "max_num_seqs",
        "max_num_batched_tokens": "max_num_batched_tokens",
        "gpu_memory_utilization": "gpu_memory_utilization",
        "enforce_eager": "enforce_eager",
    },
    "sglang": {
        "context": "context_length",
        "tensor_parallel": "tp_size",
        "pipeline_parallel": "pp_size",
        "max_num_seqs": "max_running_requests",
        "gpu_memory_utilization": "mem_fraction_static",
    },
}
"""Field of what is read -> name of the parser's value."""


@pytest.fixture(params=[engine for engine in SOURCES if engine in ENGINES], scope="module")
def engine(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def parser(engine: str) -> Iterator[ParserProcess]:
    process = ParserProcess(engine)
    yield process
    process.close()


def words_for_the_parser(engine: str, made: Mapping[str, Any]) -> list[str]:
    """What follows the program's name; a reference that only a pod can resolve becomes a number."""
    words = ["1" if not isinstance(word, str) or "$(" in word else word for word in command_line(made)]
    for start in STARTS[engine]:
        for index in range(len(words) - len(start) + 1):
            if [word.rsplit("/", 1)[-1] for word in words[index : index + len(start)]] == start:
                return words[index + len(start) :]
    return words


def rendered(engine: str) -> Iterator[tuple[str, list[str], str]]:
    """(where, words, version) of every container of the golden resources that is this engine's."""
    for path in sorted(ROOT.glob("tests/golden/*/resources.yaml")):
        for manifest in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            for made in containers(manifest):
                seen = read(made)
                if seen and seen.engine == engine:
                    yield (
                        f"{path.parent.name}/{manifest['name']}",
                        words_for_the_parser(engine, made),
                        seen.engine_version,
                    )


def containers(value: Any) -> Iterator[dict[str, Any]]:
    """Everything under a key `containers`, however deep: Deployments and the groups of several nodes alike."""
    if isinstance(value, dict):
        yield from value.get("containers", [])
        for inner in value.values():
            yield from containers(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from containers(inner)


TAKES = {None: "one", "?": "optional", "+": "many", "*": "many"}


@proves("our table of flags is the parser's own")
def test_the_flag_table_is_the_parsers_own(engine: str, parser: ParserProcess) -> None:
    known = table(engine, VERSIONS[engine]).flags
    own = {flag: entry for flag, entry in parser.flags.items() if entry[0] != "help"}
    assert {flag for flag, (name, _) in known.items() if name != "help"} == set(own)
    for flag, (name, nargs) in own.items():
        assert known[flag] == (name, TAKES[nargs] if nargs != 0 else known[flag][1]), flag


def test_every_switch_sets_what_the_table_says(engine: str, parser: ParserProcess) -> None:
    start = ["m"] if MENUS[engine].positional else ["--model-path", "m"]
    for flag, (name, takes) in table(engine, VERSIONS[engine]).flags.items():
        if takes in ("none", "off") and name not in MENUS[engine].switches_apart:
            on = takes == "none" and not flag.startswith("--no-")
            assert parser.values([*start, flag])[name] is on, flag


@proves("every rendered command line of the goldens is taken")
def test_every_rendered_command_line_is_taken(engine: str, parser: ParserProcess) -> None:
    found = [(where, words) for where, words, version in rendered(engine) if version == VERSIONS[engine]]
    assert found
    for where, words in found:
        assert parser.values(words), where


@proves("what is launched for every golden spec and shipped stack is taken")
def test_what_is_launched_on_its_version_is_taken(engine: str, parser: ParserProcess) -> None:
    mine = [case for case in cases() if (case.engine, case.version) == (engine, VERSIONS[engine])]
    assert mine
    for case in mine:
        launch = case.plan.launch
        for member in [False, *([True] if launch.group else [])]:
            assert parser.values(words_for_the_parser(engine, container(launch, member=member))), case


def test_a_flag_that_does_not_exist_is_refused(engine: str, parser: ParserProcess) -> None:
    where, words, _ = next(rendered(engine))
    with pytest.raises(Refusal, match="unrecognized"):
        parser.values([*words, "--no-such-flag"])
    assert parser.values(words), where


def written(engine: str) -> list[Line]:
    image = catalog().engine(engine).image("cuda", VERSIONS[engine])
    return lines(MENUS[engine], table(engine, VERSIONS[engine]), image, MODELS, COUNT)


def test_the_lines_that_are_written_try_everything(engine: str) -> None:
    menu, known = MENUS[engine], table(engine, VERSIONS[engine])
    words = [word for line in written(engine) for word in line.words]
    assert any(known.find(word, abbreviations=True) and word not in known.flags for word in words)
    assert any("=" in word for word in words)
    assert any(line.container["env"] for line in written(engine))
    assert any(parse(line.words, known, abbreviations=True).repeated for line in written(engine))
    assert not menu.dotted or any(word.startswith("--hf_overrides.") for word in words)


def test_words_are_taken_as_the_parser_takes_them(engine: str, parser: ParserProcess) -> None:
    known = table(engine, VERSIONS[engine])
    taken = 0
    for line in written(engine):
        parsed = parse(line.words, known, abbreviations=True)
        values = parser.values_or_none(line.words)
        assert (values is None) == bool(parsed.not_taken), line.words
        if values is None:
            continue
        changed = {name for name, value in values.items() if value != parser.defaults.get(name)}
        assert changed - {"model_tag", "model"} <= set(parsed.values), line.words
        for name, said in parsed.values.items():
            assert same(parsed.lists.get(name, said), values[name]), (line.words, name, said, values[name])
        taken += 1
    assert taken > COUNT / 2


def same(said: Any, value: Any) -> bool:
    """Whether a text and the parser's value of it are the same thing."""
    if isinstance(value, bool) or isinstance(said, list):
        return said == value
    if isinstance(value, dict):
        return json.loads(said) == value
    if isinstance(value, int) and said in ("auto", "-1"):
        return value == -1
    if isinstance(value, (int, float)):
        return human_number(str(said), type(value)) == value
    return said == value


@proves("what we read out of 200 generated command lines is what the parser makes of them")
def test_what_is_read_is_what_the_parser_says(engine: str, parser: ParserProcess) -> None:
    for line in written(engine):
        observed, values = read(line.container), parser.values_or_none(line.words)
        assert observed is not None, line.container
        if values is None:
            assert any(why.endswith("the engine would not start") for _, why in observed.undecided), line.words
        else:
            compare(engine, line, observed, values, parser.defaults)


def compare(engine: str, line: Line, observed: Observed, values: dict[str, Any], defaults: dict[str, Any]) -> None:
    undecided = dict(observed.undecided)
    assert observed.model == values[str(MENUS[engine].model)], line.container
    for fact, name in FACTS[engine].items():
        seen, value = getattr(observed, fact), values[name]
        if name not in undecided:
            assert seen == value or (seen is None and value == defaults[name]), (line.container, fact, seen, value)
        elif fact == "context":
            assert value == -1
    assert ("data_parallel_size" in undecided) == (values.get("data_parallel_size", 1) not in (None, 1)), line.words
