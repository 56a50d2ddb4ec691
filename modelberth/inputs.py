"""Files and folders -> what they hold, in an order that depends on names only."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import yaml

from modelberth.documents import DocumentError, mapping
from modelberth.node import Node
from modelberth.resources import Resource
from modelberth.sources import LARGEST_BYTES, RENDERED, STANDARD_INPUT, TEMPLATE, Problem, Source, decoded, read

ENDINGS = (".json", ".yaml", ".yml")
"""Files that are read in folders; a file that is named is read whatever it is called."""
_KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml", "Kustomization")


@dataclass(frozen=True)
class Inputs:
    """Everything that was named. ``skipped`` are files without anything to judge, ``patches`` those among them that a
    kustomization merges into objects of other files.
    """

    sources: tuple[Source, ...]
    problems: tuple[Problem, ...]
    skipped: tuple[str, ...]
    patches: tuple[str, ...]

    @property
    def resources(self) -> tuple[Resource, ...]:
        """All resources, in order."""
        return tuple(resource for source in self.sources for resource in source.resources)


def gather(paths: Iterable[Path]) -> Inputs:
    """Read files, folders and, for ``-``, the standard input. Nothing raises: what cannot be read is a problem."""
    sources: list[Source] = []
    patches: list[str] = []
    seen = set[Path]()
    for path in paths:
        if str(path) == "-":
            sources.append(_of_standard_input())
            continue
        sources += _of_path(path, seen, patches)
    problems = tuple(_grouped(problem for source in sources for problem in source.problems))
    skipped = (*(source.place for source in sources if _idle(source)), *patches)
    return Inputs(tuple(sources), problems, skipped, tuple(patches))


def _of_standard_input() -> Source:
    source = read(decoded(sys.stdin.buffer.read(LARGEST_BYTES + 1), STANDARD_INPUT))
    if _idle(source):
        source.refuse("holds no Kubernetes object", remedy="look at what the command before the pipe said")
    return source


def _of_path(path: Path, seen: set[Path], patches: list[str]) -> list[Source]:
    try:
        if not path.exists():
            return [_failed(path, "is not there")]
        whole = path.is_dir()
        files = list(_files(path)) if whole else [path]
    except OSError as error:
        return [_failed(path, (error.strerror or "cannot be read").lower())]
    found: list[Source] = []
    for file in files:
        if (real := file.resolve()) in seen:
            continue
        seen.add(real)
        if real in _patched(file.parent.resolve()):
            patches.append(str(file))
        else:
            found.append(_of_file(file))
    if whole and len(found) == len(files) and all(map(_idle, found)):
        found.append(_failed(path, "holds no Kubernetes object", "name the folder that holds rendered manifests"))
    return found


def _idle(source: Source) -> bool:
    return not (source.resources or source.recorded or source.problems)


def _files(folder: Path) -> Iterator[Path]:
    """Files below a folder by name; hidden ones and links to folders are left out."""
    for each in sorted(folder.iterdir(), key=lambda path: path.name):
        if each.name.startswith("."):
            continue
        if each.is_dir():
            if not each.is_symlink():
                yield from _files(each)
        elif each.suffix.lower() in ENDINGS and each.is_file():
            yield each


def _of_file(file: Path) -> Source:
    try:
        with file.open("rb") as stream:
            return read(decoded(stream.read(LARGEST_BYTES + 1), str(file)))
    except OSError as error:
        return _failed(file, (error.strerror or "cannot be read").lower())


def _failed(path: Path, why: str, remedy: str = "") -> Source:
    source = Source(str(path))
    source.refuse(why, remedy=remedy)
    return source


@lru_cache
def _patched(folder: Path) -> frozenset[Path]:
    """Files that the kustomization of a folder merges into other objects: alone they are no manifests."""
    for name in _KUSTOMIZATIONS:
        try:
            content = Node(mapping((folder / name).read_text(encoding="utf-8"), name), "")
        except (OSError, UnicodeDecodeError, DocumentError, yaml.YAMLError):
            continue
        named = [each["path"] for key in ("patches", "patchesJson6902") for each in content[key].elements()]
        named += content["patchesStrategicMerge"].elements()
        return frozenset((folder / each.text()).resolve() for each in named if each.text() and "\n" not in each.text())
    return frozenset()


def _grouped(problems: Iterable[Problem]) -> Iterator[Problem]:
    """The templates of a chart are one problem, told where the first one is."""
    charts: dict[Path, list[Problem]] = {}
    for problem in problems:
        chart = _chart_of(problem) if problem.template else None
        if chart is None:
            yield problem
        else:
            charts.setdefault(chart, []).append(problem)
    for chart, found in charts.items():
        first, count = found[0], len({problem.place for problem in found})
        why = TEMPLATE if count == 1 else f"{TEMPLATE}, as are {count - 1} more of this chart"
        remedy = RENDERED.replace("CHART", str(chart))
        yield Problem(first.place, why, first.spot, remedy, template=True)


def _chart_of(problem: Problem) -> Path | None:
    return next((folder for folder in Path(problem.place).parents if (folder / "Chart.yaml").is_file()), None)


__all__ = ["ENDINGS", "Inputs", "gather"]
