"""Who may import whom: the contracts of pyproject.toml, and the pure half seen from outside."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PURE = [
    path
    for path in sorted((ROOT / "modelberth").rglob("*.py"))
    if "components" not in path.relative_to(ROOT / "modelberth").parts
]

WITHOUT_PULUMI = """
import importlib, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("pulumi", "pulumi_kubernetes", "pulumi_policy", "grpc"):
            raise ImportError(f"{name} was imported by the pure half")

sys.meta_path.insert(0, Blocked())
for name in sys.argv[1:]:
    importlib.import_module(name)
"""


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_every_contract_is_kept() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


def test_every_module_of_the_pure_half_imports_without_pulumi() -> None:
    modules = [module_name(path) for path in PURE if path.name != "__main__.py"]
    assert len(modules) > 30
    done = subprocess.run([sys.executable, "-c", WITHOUT_PULUMI, *modules], cwd=ROOT, capture_output=True, text=True)
    assert done.stderr == ""


def test_the_contract_about_purity_names_every_module() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    (purity,) = [contract for contract in contracts if "no Pulumi" in contract["name"]]
    top = {".".join(module_name(path).split(".")[:2]) for path in PURE} - {"modelberth"}
    assert set(purity["source_modules"]) == top


def test_only_the_entry_point_of_the_pack_serves_it() -> None:
    makers = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "policies").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "serve"
    ]
    assert makers == ["policies/__main__.py"]
