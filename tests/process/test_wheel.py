"""What people install: the wheel holds the components and the catalog, and needs no checkout."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import copy_of_tracked

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from what git tracks and unpacked elsewhere."""
    work = tmp_path_factory.mktemp("wheel")
    source, target = work / "source", work / "site"
    copy_of_tracked(source, work)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(work), str(source)]
    subprocess.run(build, check=True, capture_output=True)
    wheel = next(work.glob("modelberth-*.whl"))
    subprocess.run([*pip, "install", "--no-deps", "--target", str(target), str(wheel)], check=True, capture_output=True)
    return target


def python(installed: Path, code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(installed)!r})\n{code}"],
        cwd=installed,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_components_are_imported_under_their_one_name(installed: Path) -> None:
    shown = python(
        installed, "from modelberth.components import LLMService; import inspect; print(inspect.getfile(LLMService))"
    )
    assert shown.startswith(str(installed))


def test_the_catalog_and_the_flag_tables_travel_with_it(installed: Path) -> None:
    code = (
        "from modelberth.catalog import catalog\n"
        "from modelberth.engines.flags import table\n"
        "from modelberth.host import load_seconds\n"
        "layers = catalog().model('meta-llama/Llama-3.1-8B-Instruct').num_layers\n"
        "print(layers, len(table('vllm', '0.33.0').flags) > 100, load_seconds(0, on_gpu=True, from_volume=True) > 0)"
    )
    assert python(installed, code) == "32 True True"


def test_nothing_but_the_package_is_installed(installed: Path) -> None:
    names = {path.name for path in installed.iterdir() if not path.name.endswith(".dist-info")}
    assert names - {"bin", "__pycache__"} == {"modelberth"}
