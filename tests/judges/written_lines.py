"""Command lines as people write them: generated from a seed, the same ones every time."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from modelberth.engines.flags import FlagTable


@dataclass(frozen=True)
class Menu:
    """What may be written for one engine: name of a flag -> texts that its parser takes."""

    values: Mapping[str, Sequence[str]]
    lists: Mapping[str, Sequence[str]]
    dotted: Sequence[tuple[str, str]]
    """Flags whose JSON is spelled with dots, and what is set."""
    switches_apart: frozenset[str]
    """Switches that their parser only takes beside others."""
    model: str | None
    """The flag that names the model; a model may also stand alone where ``positional`` is true."""
    positional: bool
    underscores: bool
    command: Sequence[str] = ()
    """What a container starts, where its image starts nothing."""


VLLM = Menu(
    values={
        "additional_config": ['{"a": 1}', '{"a": {"b": [1, 2]}}'],
        "block_size": ["16", "32"],
        "chat_template": ["-- {{ no flag }}", "{{ a=b }}", "{{ x }}"],
        "cpu_offload_gb": ["4", "0.5"],
        "data_parallel_size": ["1", "2"],
        "dtype": ["auto", "bfloat16", "float16", "half"],
        "gpu_memory_utilization": ["0.9", ".85", "9e-1", "1"],
        "hf_overrides": ['{"rope_theta": 1e6}', "{}"],
        "host": ["0.0.0.0", "::"],
        "kv_cache_dtype": ["auto", "bfloat16", "fp8", "fp8_e4m3", "fp8_e5m2"],
        "max_lora_rank": ["16"],
        "max_model_len": ["-1", "1.5k", "4096", "8K", "8k", "auto"],
        "max_num_batched_tokens": ["16K", "2048", "8k"],
        "max_num_seqs": ["1", "256", "64"],
        "pipeline_parallel_size": ["1", "2"],
        "port": ["8000", "9000"],
        "quantization": ["awq", "awq_marlin", "compressed-tensors", "fp8", "gptq"],
        "revision": ["main", "0" * 40],
        "seed": ["-7", "0"],
        "shutdown_timeout": ["120"],
        "speculative_config": ['{"method": "ngram", "num_speculative_tokens": 3}'],
        "tensor_parallel_size": ["1", "2", "8"],
    },
    lists={"allowed_media_domains": ["a.example", "b.example"], "served_model_name": ["chat", "org/name", "x-1"]},
    dotted=[
        ("hf_overrides", ".rope_scaling.factor=2.0"),
        ("hf_overrides", ".text_config.names+=a,b"),
        ("hf_overrides", ".some_name=8k"),
        ("speculative-config", ".model=org/draft"),
        ("speculative_config", ".num_speculative_tokens=4"),
    ],
    switches_apart=frozenset(
        ["data_parallel_multi_port_external_lb", "enable_auto_tool_choice", "enable_log_outputs", "help"]
    ),
    model="model",
    positional=True,
    underscores=True,
)

SGLANG = Menu(
    values={
        "chunked_prefill_size": ["-1", "8192"],
        "context_length": ["32768", "4096"],
        "dp_size": ["1", "2"],
        "dtype": ["auto", "bfloat16", "float16", "half"],
        "host": ["0.0.0.0"],
        "json_model_override_args": ['{"a": 1}'],
        "kv_cache_dtype": ["auto", "fp8_e4m3", "fp8_e5m2"],
        "max_running_requests": ["16", "64"],
        "mem_fraction_static": ["0.85", ".9"],
        "port": ["30000"],
        "pp_size": ["1", "2"],
        "quantization": ["awq", "fp8", "gptq"],
        "served_model_name": ["chat", "org/name"],
        "tp_size": ["1", "2", "8"],
    },
    lists={},
    dotted=[],
    switches_apart=frozenset(["help"]),
    model="model_path",
    positional=False,
    underscores=False,
    command=("python3", "-m", "sglang.launch_server"),
)


@dataclass
class Line:
    """Words as they reach the parser, and a container that Kubernetes turns into them."""

    words: list[str] = field(default_factory=list[str])
    container: dict[str, Any] = field(default_factory=dict[str, Any])


def lines(menu: Menu, known: FlagTable, image: str, models: Sequence[str], count: int, seed: int = 7) -> list[Line]:
    """``count`` different lines. Some are refused by the parser, as some of those that people write are."""
    writer = _Writer(menu, known, random.Random(seed))  # noqa: S311
    found: dict[tuple[str, ...], Line] = {}
    while len(found) < count:
        line = writer.line(image, models)
        found.setdefault(tuple(line.words), line)
    return list(found.values())


class _Writer:
    def __init__(self, menu: Menu, known: FlagTable, chance: random.Random) -> None:
        self._menu, self._known, self._chance = menu, known, chance
        entries = known.flags.items()
        self._switches = sorted(
            flag for flag, (name, takes) in entries if takes in ("none", "off") and name not in menu.switches_apart
        )

    def line(self, image: str, models: Sequence[str]) -> Line:
        chance, menu = self._chance, self._menu
        parts = [self._part() for _ in range(chance.randint(0, 8))]
        model = chance.choice(models)
        if menu.positional and chance.random() < 0.7:
            parts.insert(0, [model])
        else:
            flag = f"--{str(menu.model).replace('_', '-')}"
            parts.insert(chance.randint(0, len(parts)), chance.choice([[flag, model], [f"{flag}={model}"]]))
        words = [word for part in parts for word in part]
        return Line(words, self._container(image, words))

    def _part(self) -> list[str]:
        chance, menu = self._chance, self._menu
        if chance.random() < 0.03:
            return [chance.choice(["--frobnicate", "--max-num", "--tensor-parallel-sise=2", "--enforce-eager=True"])]
        kind = chance.random()
        if kind < 0.3:
            return [self._spelled(chance.choice(self._switches))]
        if kind < 0.4 and menu.dotted:
            flag, rest = chance.choice(menu.dotted)
            key, _, value = rest.partition("=")
            return chance.choice([[f"--{flag}{key}={value}"], [f"--{flag}{key}", value]])
        if kind < 0.5 and menu.lists:
            name = chance.choice(sorted(menu.lists))
            several = [chance.choice(menu.lists[name]) for _ in range(chance.randint(1, 3))]
            return [self._spelled(self._flag(name)), *several]
        if kind < 0.53 and menu.underscores:
            return chance.choice([["-O2"], ["-O", "1"], ["-O=3"]])
        name = chance.choice(sorted(menu.values))
        flag, value = self._spelled(self._flag(name)), chance.choice(menu.values[name])
        return [f"{flag}={value}"] if chance.random() < 0.4 else [flag, value]

    def _flag(self, name: str) -> str:
        return self._chance.choice(sorted(flag for flag, (own, _) in self._known.flags.items() if own == name))

    def _spelled(self, flag: str) -> str:
        how = self._chance.random()
        if not flag.startswith("--") or how < 0.5:
            return flag
        if how < 0.7 and self._menu.underscores:
            return "--" + flag[2:].replace("-", "_", self._chance.randint(1, 4))
        return flag[: self._chance.randint(max(4, len(flag) - 6), len(flag))]

    def _container(self, image: str, words: list[str]) -> dict[str, Any]:
        """The same words, some of them from the environment."""
        env: list[dict[str, str]] = []
        args: list[str] = []
        for word in words:
            head, equals, value = word.partition("=")
            from_env = value if equals else word
            if self._chance.random() < 0.15 and from_env and not from_env.startswith("--"):
                env.append({"name": f"V{len(env)}", "value": from_env.replace("$", "$$")})
                args.append(f"{head}=$(V{len(env) - 1})" if equals else f"$(V{len(env) - 1})")
            else:
                args.append(word.replace("$", "$$"))
        command = {"command": list(self._menu.command)} if self._menu.command else {}
        return {"image": image, "args": args, "env": env, **command}
