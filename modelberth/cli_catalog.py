"""The commands ``modelberth models`` and ``modelberth catalog``: what is known, and how to add to it."""

from __future__ import annotations

from typing import Annotated

import typer

from modelberth.catalog import catalog
from modelberth.catalog.hub import as_yaml, fetch, row_of

catalog_commands = typer.Typer(no_args_is_help=True, help="What is known about models, and how to add to it.")


def models_command(search: Annotated[str, typer.Argument(help="Part of an id.")] = "") -> None:
    """List the models of the catalog."""
    for row in catalog().models():
        if search.lower() in row.id.lower():
            typer.echo(row.id)


@catalog_commands.command("add")
def add_command(
    repository: Annotated[str, typer.Argument(help="Repository id, such as Qwen/Qwen3-8B.")],
    revision: Annotated[str, typer.Option(help="Branch, tag or commit; what it points to is pinned.")] = "main",
) -> None:
    """Read a model's config.json and file sizes once from the hub; print the row for catalog/models/ORG.yaml.

    Needs the extra hub: pip install "modelberth[hub]".
    """
    typer.echo(as_yaml(row_of(fetch(repository, revision))))


@catalog_commands.callback()
def _root() -> None:
    """What is known about models, and how to add to it."""
