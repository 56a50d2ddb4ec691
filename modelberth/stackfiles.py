"""Where stack files and their plan locks lie. Reads and writes files; the planning itself does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from modelberth import layers, lock, parse
from modelberth.documents import mapping
from modelberth.edits import edited
from modelberth.errors import ModelberthError
from modelberth.fields import LONGEST_SERVICE, tidied
from modelberth.findings import Refused
from modelberth.promote import Promotion
from modelberth.spec import ServiceSpec, StackSpec, Target


@dataclass(frozen=True)
class StackFile:
    """A stack and the lock beside it. ``lock_path`` is None for a bare spec."""

    name: str
    path: Path
    spec: StackSpec
    lock_path: Path | None
    locked: lock.Locked


def lock_path_of(stack: str, folder: Path) -> Path:
    """The lock of a stack: ``stacks/<stack>.plan.yaml``."""
    return folder / f"{stack}.plan.yaml"


def find(name_or_path: str, root: Path) -> Path:
    """``local`` or ``stacks/Pulumi.local.yaml`` -> the file. Raises :class:`ModelberthError` naming what was tried."""
    tried = [Path(name_or_path), root / "stacks" / f"Pulumi.{name_or_path}.yaml"]
    for path in tried:
        if _is_file(path):
            return path
    known = ", ".join(sorted(p.name.split(".")[1] for p in (root / "stacks").glob("Pulumi.*.yaml"))) or "none"
    raise ModelberthError(f"no such file or stack: {name_or_path}; stacks here: {known}")


def read(path: Path) -> StackFile:
    """A stack file with its lock, or a bare spec (YAML or JSON). Raises :class:`ModelberthError` with all problems."""
    document = mapping(_text(path), path.name)
    if not parse.is_stack(document):
        name = tidied(path.stem.lstrip("0123456789-_. "), LONGEST_SERVICE) or "service"
        return StackFile(name, path, _alone(name, parse.service(document)), None, lock.Locked({}))
    spec = stack_of(document, path.parent)
    name = path.name.removeprefix("Pulumi.").removesuffix(".yaml")
    lock_path = lock_path_of(name, path.parent)
    return StackFile(name, path, spec, lock_path, read_lock(lock_path))


def stack_of(document: object, folder: Path) -> StackSpec:
    """The stack of a file that lies in ``folder``, on its base where it names one.

    Raises :class:`ModelberthError` with all problems; one that only the base has is told with the base's name.
    """
    named = layers.base_of(document)
    if named is None:
        return parse.stack_file(document)
    base = mapping(_text(folder / named), named)
    try:
        return parse.stack_file(layers.merged(base, document, named))
    except Refused as refused:
        raise Refused(
            replace(each, path=f"{named}: {each.path}") if layers.only_below(base, document, each.path) else each
            for each in refused.findings
        ) from None


def read_lock(path: Path) -> lock.Locked:
    """The decisions of a lock file; empty when there is none."""
    return lock.load(_text(path), path.name) if path.is_file() else lock.Locked({})


def write_lock(path: Path, decisions: lock.Lock) -> None:
    """Write a lock file. Raises :class:`ModelberthError` when it cannot be written."""
    try:
        path.write_text(lock.dump(decisions), encoding="utf-8")
    except OSError as error:
        raise ModelberthError(f"{path}: {error.strerror}") from None


def write_promoted(stack: StackFile, found: Promotion) -> list[Path]:
    """Change a stack file so that it states what was promoted, comments and all else left alone, and write its lock.

    Returns what was written. Raises :class:`ModelberthError`, and writes nothing, when the file cannot say so.
    """
    if stack.lock_path is None:
        raise ModelberthError(f"{stack.path.name} is a bare spec, which has no plan lock")
    text = _text(stack.path)
    for edit in found.edits:
        text = edited(text, _where(mapping(text, stack.path.name), edit.path), edit.value)
    if stack_of(mapping(text, stack.path.name), stack.path.parent) != found.spec:
        raise ModelberthError(f"{stack.path.name} cannot be changed to say this and nothing else: write it by hand")
    write_lock(stack.lock_path, found.settled.lock)
    if found.edits:
        stack.path.write_text(text, encoding="utf-8")
    return [*([stack.path] if found.edits else []), stack.lock_path]


def _where(document: Mapping[str, object], path: Sequence[str]) -> list[str]:
    """The keys of a place as this file writes them: under ``config``, with the package's name before the first."""
    above = ["config"] if "config" in document else []
    inside = document["config"] if above else document
    prefixed = isinstance(inside, Mapping) and any(
        str(key).startswith(parse.PREFIX) for key in cast("Mapping[object, object]", inside)
    )
    return [*above, f"{parse.PREFIX if prefixed else ''}{path[0]}", *path[1:]]


def _alone(name: str, service: ServiceSpec) -> StackSpec:
    return StackSpec(target=Target(kind="existing"), services={name: service})


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name longer than any file's
        return False


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ModelberthError(f"{path}: {reason}") from None
