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


@catalog_commands.command("gpus")
def gpus_command() -> None:
    """List the GPUs, with the memory that they show."""
    for row in catalog().gpus():
        typer.echo(f"{row.id:<28} {row.visible_memory_gib:>7.2f} GiB  {row.name}")


@catalog_commands.command("engines")
def engines_command() -> None:
    """List the engines, with the version that is sized when none is stated."""
    for row in catalog().engines():
        typer.echo(f"{row.id:<14} {row.default_version:<9} {row.name}")


@catalog_commands.command("machines")
def machines_command(search: Annotated[str, typer.Argument(help="Part of an id, or a GPU id.")] = "") -> None:
    """List the machine types, with their GPUs and what they cost on demand."""
    for row in catalog().machines():
        price = catalog().price(row.id)
        cost = f"{price.usd_per_hour:>9.2f} USD per hour" if price else "  unknown"
        if search.lower() in row.id or search == row.gpu:
            typer.echo(f"{row.id:<22} {row.gpu_count if row.gpu else 0} x {row.gpu or 'cpu':<24} {cost}")


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
