"""Reads the files of the catalog: YAML rows and the fields they share, validated; errors name the file and the row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib.resources.abc import Traversable
from typing import Any, TypeVar

from pydantic import ValidationError

from modelberth.catalog.schema import Row
from modelberth.documents import DocumentError, mapping
from modelberth.errors import ModelberthError

AnyRow = TypeVar("AnyRow", bound=Row)


class CatalogError(ModelberthError):
    """A file of the catalog is not what the schema wants."""


def read_rows(file: Traversable, kind: type[AnyRow]) -> tuple[AnyRow, ...]:
    """The rows of one file, each with the fields under ``shared`` unless it states its own.

    Raises :class:`CatalogError` for bad YAML, a duplicate key, or rows that the schema refuses.
    """
    content = _read_mapping(file)
    if extra := content.keys() - {"shared", "rows"}:
        raise CatalogError(f"{file.name}: unexpected {', '.join(sorted(map(str, extra)))}; a file has shared and rows")
    shared: dict[str, Any] = content.get("shared") or {}
    return tuple(_row(file, kind, shared | fields) for fields in content.get("rows") or ())


def index(rows: Iterable[AnyRow], key: Callable[[AnyRow], Any]) -> dict[Any, AnyRow]:
    """Rows by key. Raises :class:`CatalogError` when two rows have the same."""
    found: dict[Any, AnyRow] = {}
    for row in rows:
        if key(row) in found:
            raise CatalogError(f"two {type(row).__name__} rows for {key(row)!r}")
        found[key(row)] = row
    return found


def index_each(rows: Iterable[AnyRow], keys: Callable[[AnyRow], Iterable[Any]]) -> dict[Any, AnyRow]:
    """Rows by each of their keys. Raises :class:`CatalogError` when two rows have one in common."""
    pairs = [(key, row) for row in rows for key in keys(row)]
    found = dict(pairs)
    if len(found) < len(pairs):
        seen = [key for key, _ in pairs]
        twice = next(key for key in seen if seen.count(key) > 1)
        raise CatalogError(f"two {type(found[twice]).__name__} rows for {twice!r}")
    return found


def _read_mapping(file: Traversable) -> Mapping[str, Any]:
    try:
        return mapping(file.read_text(encoding="utf-8"), file.name)
    except DocumentError as error:
        raise CatalogError(str(error)) from None


def _row(file: Traversable, kind: type[AnyRow], fields: Mapping[str, Any]) -> AnyRow:
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        name = next(
            iter(fields.get(key) for key in ("id", "repository", "machine") if key in fields),
            "a row",
        )
        problems = "; ".join(f"{'.'.join(map(str, found['loc']))}: {found['msg']}" for found in error.errors())
        raise CatalogError(f"{file.name}: {name}: {problems}") from None
