"""Print every spelling that an engine's parser takes as JSON: `spellings.py vllm|sglang`, its source on PYTHONPATH.

Spelling -> [name, what it takes]: one, optional, many, none for a switch, off for a switch that says no to its name.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import sys

TAKES = {None: "one", "?": "optional", "*": "many", "+": "many"}


def vllm() -> argparse.ArgumentParser:
    """The parser of `vllm serve`, wherever this version keeps it."""
    from vllm.utils.argparse_utils import FlexibleArgumentParser  # pyright: ignore[reportMissingImports]

    for place in ("common", "launchers", "openai"):
        module = f"vllm.entrypoints.{place}.cli_args"
        try:
            found = importlib.import_module(module)
        except ModuleNotFoundError as missing:
            if not (missing.name or "").startswith("vllm.entrypoints"):
                raise
            continue
        return found.make_arg_parser(FlexibleArgumentParser(prog="vllm serve"))
    raise SystemExit("this vLLM keeps its parser somewhere else")


def sglang() -> argparse.ArgumentParser:
    """The parser of `sglang.launch_server`."""
    from sglang.srt.server_args import ServerArgs  # pyright: ignore[reportMissingImports]

    parser = argparse.ArgumentParser(prog="sglang.launch_server")
    ServerArgs.add_cli_args(parser)
    return parser


def takes(parser: argparse.ArgumentParser, spelling: str, action: argparse.Action) -> str:
    """What follows a spelling; a switch is turned, to see which way it goes."""
    if action.nargs != 0:
        return TAKES[action.nargs]  # pyright: ignore[reportArgumentType]
    if action.dest == "help":
        return "none"
    found = argparse.Namespace()
    action(parser, found, [], spelling)
    return "off" if getattr(found, action.dest) is False and not spelling.startswith("--no-") else "none"


if __name__ == "__main__":
    with contextlib.redirect_stdout(sys.stderr):
        own = {"vllm": vllm, "sglang": sglang}[sys.argv[1]]()
    spelled = sorted(own._option_string_actions.items())
    json.dump({spelling: [action.dest, takes(own, spelling, action)] for spelling, action in spelled}, sys.stdout)
