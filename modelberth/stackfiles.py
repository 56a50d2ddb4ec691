"""Where stack files and their plan locks lie. Reads and writes files; the planning itself does not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from modelberth import layers, lock, parse
from modelberth.documents import mapping
from modelberth.errors import ModelberthError
from modelberth.fields import LONGEST_SERVICE, tidied
from modelberth.findings import Refused
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
