"""Rules of the house that no other tool checks."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LONGEST_MODULE = 400
LONGEST_ENTRY_POINT = 40
ENTRY_POINTS = ("__main__.py", "components/__main__.py", "modelberth/__main__.py", "policies/__main__.py")
GENERATED = {"components/args.py"}
PARTS = ("components", "modelberth", "policies", "scripts", "toolchain")
ELSEWHERE = re.compile(r"(?<![\w./-])/(?:home|Users|mnt|srv|work)/\w")


@cache
def files() -> tuple[Path, ...]:
    """Every file that git tracks or would: what belongs to the project."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    paths = (ROOT / name for name in listed.split("\0") if name)
    return tuple(path for path in paths if path.is_file() and not path.is_symlink())


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def python_files() -> list[Path]:
    return [path for path in files() if path.suffix == ".py"]


def test_no_module_is_longer_than_one_can_read() -> None:
    long = {
        named(path): count
        for path in python_files()
        if named(path).split("/")[0] in PARTS and named(path) not in GENERATED
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > LONGEST_MODULE
    }
    assert long == {}


def test_entry_points_only_call_what_lies_elsewhere() -> None:
    lengths = {name: len((ROOT / name).read_text(encoding="utf-8").splitlines()) for name in ENTRY_POINTS}
    assert {name: count for name, count in lengths.items() if count > LONGEST_ENTRY_POINT} == {}


def has_tests(path: Path) -> bool:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return any(isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef) and n.name.startswith("test_") for n in tree.body)


def test_every_file_with_tests_is_collected() -> None:
    lost = [
        named(path)
        for path in python_files()
        if has_tests(path) and not (re.fullmatch(r"test_\w+\.py", path.name) and named(path).startswith("tests/"))
    ]
    assert lost == []


def test_no_file_mentions_a_place_outside_the_project() -> None:
    ours = Path(__file__).resolve()
    mentions = []
    for path in files():
        if path == ours:
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        mentions += [f"{named(path)}: {match[0]}" for match in ELSEWHERE.finditer(text)]
    assert mentions == []


def test_generated_files_follow_from_their_sources() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "generate", "--check"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("folder", ["modelberth", "components", "policies"])
def test_no_typed_figure_of_a_machine_or_a_price_hides_in_python(folder: str) -> None:
    machine = re.compile(
        r"\b(?:g2-standard|a2-(?:high|ultra)gpu|a3-\w+gpu|p[45]\w*\.\d*x?large|g[456]\w*\.\d*xlarge)\b"
    )
    hidden = [
        f"{named(path)}: {match[0]}"
        for path in python_files()
        if named(path).startswith(f"{folder}/")
        for match in machine.finditer(path.read_text(encoding="utf-8"))
    ]
    # The one example that a refusal shows to whoever forgot the machine types of a pool.
    assert [each for each in hidden if each != "modelberth/resolve.py: g2-standard"] == []


CLOUDS = re.compile(
    r"(?<![a-z])(?:aks|amazon|aws|azure|ec2|eks|gcp|gcs|gke|google|karpenter|s3)(?![a-z])", re.IGNORECASE
)
SPEAKS_OF_CLOUDS = {
    "modelberth/rules/credentials.py": "credentials are called as their issuers call them",
    "modelberth/rules/evaluation.py": "a way out names the labels that tell a GPU in each dialect",
}


def words_of(tree: ast.AST) -> list[str]:
    """Every name and text of a module but what a rule tells people: where it comes from."""
    told = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.keyword) and node.arg == "source"
        for inner in ast.walk(node.value)
    }
    words = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in told]
    words += [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]
    words += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    words += [
        alias.name for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom) for alias in node.names
    ]
    return [word for word in words if isinstance(word, str)]


def clouds_in(path: Path) -> set[str]:
    words = words_of(ast.parse(path.read_text(encoding="utf-8")))
    return {match[0] for word in words for match in CLOUDS.finditer(word)}


def test_no_rule_knows_one_cloud_from_another() -> None:
    rules = {named(path): path for path in python_files() if named(path).startswith("modelberth/rules/")}
    speaking = {name: clouds_in(path) for name, path in rules.items()}
    assert {name for name, clouds in speaking.items() if clouds} == set(SPEAKS_OF_CLOUDS), speaking
