"""Print every option that an engine's own parser has, as JSON: `dump.py vllm|sglang`, its source on PYTHONPATH."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any


def vllm() -> argparse.ArgumentParser:
    """The parser of `vllm serve`, with abbreviations as it has them."""
    from vllm.entrypoints.common.cli_args import make_arg_parser  # pyright: ignore[reportMissingImports]
    from vllm.utils.argparse_utils import FlexibleArgumentParser  # pyright: ignore[reportMissingImports]

    return make_arg_parser(FlexibleArgumentParser(prog="vllm serve"))


def sglang() -> argparse.ArgumentParser:
    """The parser of `sglang.launch_server`."""
    from sglang.srt.server_args import ServerArgs  # pyright: ignore[reportMissingImports]

    parser = argparse.ArgumentParser(prog="sglang.launch_server")
    ServerArgs.add_cli_args(parser)
    return parser


def options(parser: argparse.ArgumentParser) -> dict[str, dict[str, Any]]:
    """Longest spelling -> what there is to know; choices sorted, since some are sets."""
    spellings: dict[int, list[str]] = {}
    for spelling, action in parser._option_string_actions.items():
        spellings.setdefault(id(action), []).append(spelling)
    return {
        max(action.option_strings, key=len, default=action.dest): {
            "spellings": sorted(spellings.get(id(action), [])),
            "dest": action.dest,
            "choices": sorted(str(choice) for choice in action.choices) if action.choices else None,
            "nargs": action.nargs,
            "default": repr(action.default),
            "kind": type(action).__name__,
        }
        for action in parser._actions
    }


if __name__ == "__main__":
    json.dump(options({"vllm": vllm, "sglang": sglang}[sys.argv[1]]()), sys.stdout, indent=1, sort_keys=True)
