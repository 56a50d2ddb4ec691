"""Command line of the embedded cluster: `modelberth-cluster up|status|down`."""

import argparse
import sys
import time
from pathlib import Path

from toolchain.cluster import ClusterError, down, status, up
from toolchain.cluster.state import ROOT

DEFAULT_STATE = ROOT / ".modelberth" / "cluster"
DEFAULT_NODES = ROOT / "toolchain" / "clusters" / "local.yaml"


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; 0 when it is done (for `status`: when the cluster is up), 1 with one line of why when not."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except ClusterError as error:
        print(f"modelberth-cluster: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            "modelberth-cluster: interrupted; what this command had started is stopped",
            file=sys.stderr,
        )
        return 130


def _up(options: argparse.Namespace) -> int:
    began = time.monotonic()
    cluster = up(options.state, options.nodes)
    print(
        f"cluster up in {time.monotonic() - began:.1f} s: {cluster.server}, simulated nodes; nothing computes on them"
    )
    print(f"kubeconfig: {cluster.kubeconfig}")
    return 0


def _down(options: argparse.Namespace) -> int:
    stopped = down(options.state, purge=options.purge)
    print(f"cluster down: {stopped} processes stopped" + (", state deleted" if options.purge else ""))
    return 0


def _status(options: argparse.Namespace) -> int:
    found = status(options.state)
    print(found.text())
    return 0 if found.running else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="modelberth-cluster",
        description="A real control plane with simulated nodes.",
    )
    commands = parser.add_subparsers(required=True, metavar="up|status|down")
    for name, run, summary in (
        (
            "up",
            _up,
            "start it, or whatever part of it is not running, and wait until it is healthy",
        ),
        ("status", _status, "its parts, its kubeconfig, its simulated nodes"),
        ("down", _down, "stop it; what was created in it stays for the next up"),
    ):
        command = commands.add_parser(name, help=summary, description=summary)
        command.set_defaults(run=run)
        command.add_argument(
            "--state",
            type=Path,
            default=DEFAULT_STATE,
            metavar="DIR",
            help="default: %(default)s",
        )
        if name == "up":
            command.add_argument(
                "--nodes",
                type=Path,
                default=DEFAULT_NODES,
                metavar="FILE",
                help="default: %(default)s",
            )
        if name == "down":
            command.add_argument(
                "--purge",
                action="store_true",
                help="also delete its state, ports and certificates",
            )
    return parser


if __name__ == "__main__":
    sys.exit(main())
