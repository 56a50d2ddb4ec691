"""Fixtures that tests of more than one directory share."""

import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from toolchain.cluster import Cluster, down, up
from toolchain.kube import Kube

pytest_plugins = ["tests.proofs"]

ROOT = Path(__file__).resolve().parents[1]
NODES = ROOT / "toolchain" / "clusters" / "local.yaml"


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One embedded cluster for the whole run, with the nodes of the default one."""
    state = tmp_path_factory.mktemp("embedded") / "cluster"
    try:
        yield up(state, NODES)
    finally:
        down(state, purge=True)


@pytest.fixture(scope="session")
def kube(cluster: Cluster) -> Kube:
    """The API of the shared cluster, as its administrator."""
    return Kube(cluster.kubeconfig)


@pytest.fixture
def namespace(kube: Kube) -> Iterator[str]:
    """A namespace of the shared cluster for one test, with its service account in place."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    kube.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
    kube.wait(lambda: kube.find(account), what=f"the service account of {name}")
    yield name
    kube.delete(f"/api/v1/namespaces/{name}")


def copy_of_tracked(destination: Path, work: Path) -> None:
    """Put what git tracks into an empty folder, symbolic links included; ``work`` holds what is in between."""
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    listing, archive = work / "files", work / "files.tar"
    listing.write_bytes(tracked)
    destination.mkdir()
    subprocess.run(["tar", "-cf", str(archive), "--null", "-T", str(listing)], cwd=ROOT, check=True)
    subprocess.run(["tar", "-xf", str(archive), "-C", str(destination)], check=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`pytest --golden` rewrites the golden files, to be reviewed as a diff."""
    parser.addoption("--golden", action="store_true", help="rewrite golden files")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[Path, str], None]:
    """Compares a text with a committed file, or writes it with `--golden`."""

    def check(path: Path, text: str) -> None:
        if request.config.getoption("--golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.is_file(), f"{path.name} is missing; write it with --golden and review it"
        assert text == path.read_text(encoding="utf-8")

    return check
