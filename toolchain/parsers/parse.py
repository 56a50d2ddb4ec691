"""Parse command lines with an engine's own parser, in one process: `parse.py vllm|sglang`, its source on PYTHONPATH.

Reads one JSON list of words per line, and answers each with one line: {"values": {name: value}} or {"refused": why}.
The first line it writes, unasked, holds {"values", "flags"}: the values when only what is required is said, and every
spelling with its name and nargs.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
from collections.abc import Callable
from typing import Any

Parse = Callable[[list[str]], argparse.Namespace]


def vllm() -> tuple[Parse, argparse.ArgumentParser]:
    """What `vllm serve` does with its words, up to the checks of entrypoints/cli/serve.py."""
    from vllm.entrypoints.common.cli_args import (  # pyright: ignore[reportMissingImports]
        make_arg_parser,
        validate_parsed_serve_args,
    )
    from vllm.utils.argparse_utils import FlexibleArgumentParser  # pyright: ignore[reportMissingImports]

    parser = FlexibleArgumentParser(prog="vllm")
    serve = make_arg_parser(parser.add_subparsers(dest="subparser").add_parser("serve"))

    def parse(words: list[str]) -> argparse.Namespace:
        found = parser.parse_args(["serve", *words])
        validate_parsed_serve_args(found)
        if found.model_tag is not None:
            found.model = found.model_tag
        return found

    return parse, serve


def sglang() -> tuple[Parse, argparse.ArgumentParser]:
    """What `sglang.launch_server` does with its words, before it looks at the machine (prepare_server_args)."""
    from sglang.srt.server_args import ServerArgs  # pyright: ignore[reportMissingImports]

    parser = argparse.ArgumentParser(prog="sglang serve")
    ServerArgs.add_cli_args(parser)
    return parser.parse_args, parser


def answer(parse: Parse, words: list[str]) -> dict[str, Any]:
    """The values of a command line, or why it is refused."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            return {"values": vars(parse(words))}
    except SystemExit:
        return {"refused": said.getvalue().strip().splitlines()[-1:]}
    except (TypeError, ValueError) as error:
        return {"refused": [str(error)]}


def main(engine: str) -> None:
    """Answer until the input ends."""
    answers = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        parse, parser = {"vllm": vllm, "sglang": sglang}[engine]()
        first = answer(parse, ["--model-path", "."] if engine == "sglang" else [])
        first["flags"] = {flag: (act.dest, act.nargs) for flag, act in parser._option_string_actions.items()}
        print(json.dumps(first, default=str), file=answers, flush=True)
        for line in sys.stdin:
            print(json.dumps(answer(parse, json.loads(line)), default=str), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
