"""How the catalog is asked, and how it answers what it does not know or cannot read."""

import subprocess
import sys
from pathlib import Path

import pytest

from modelberth.catalog import Catalog, CatalogError, catalog
from modelberth.errors import UnknownName

MODEL = """
  - id: acme/tiny
    aliases: [acme/small]
    architecture: LlamaForCausalLM
    hidden_size: 64
    num_attention_heads: 4
    num_kv_heads: 2
    head_dim: 16
    source: test
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("models", "checkpoints", "machines", "prices"):
        (tmp_path / name).mkdir()
    return tmp_path


def write(folder: Path, rows: str, file: str = "models/acme.yaml") -> Catalog:
    (folder / file).write_text(f"shared:\n  as_of: 2026-01-01\nrows:{rows}")
    return Catalog(folder)


def test_a_near_miss_is_answered_with_what_was_probably_meant() -> None:
    with pytest.raises(UnknownName) as caught:
        catalog().model("Qwen/Qwen2.5-7B-Instuct")
    assert str(caught.value).startswith("unknown model 'Qwen/Qwen2.5-7B-Instuct'; did you mean 'Qwen/Qwen2.5-7B-Ins")
    assert caught.value.suggestions[0] == "Qwen/Qwen2.5-7B-Instruct"


def test_the_case_of_a_name_is_no_obstacle_to_the_suggestion() -> None:
    with pytest.raises(UnknownName, match=r"did you mean 'meta-llama/Llama-3\.1-8B-Instruct'"):
        catalog().model("META-LLAMA/LLAMA-3.1-8B-INSTRUCT")


def test_a_name_like_nothing_gets_no_suggestion() -> None:
    with pytest.raises(UnknownName) as caught:
        catalog().model("zzz")
    assert str(caught.value) == "unknown model 'zzz'"


@pytest.mark.parametrize("ask", ["gpu", "machine", "engine"])
def test_every_other_kind_of_name_is_refused_the_same_way(ask: str) -> None:
    with pytest.raises(UnknownName, match="unknown"):
        getattr(catalog(), ask)("no-such-thing-at-all")


def test_a_gpu_without_its_vendor_is_suggested_with_it() -> None:
    with pytest.raises(UnknownName, match="did you mean 'nvidia-l40s'"):
        catalog().gpu("nvida-l40s")


def test_machines_can_be_asked_for_by_gpu_and_cloud() -> None:
    found = catalog().machines(gpu="nvidia-l4", cloud="gcp")
    assert {m.id for m in found} >= {"g2-standard-8", "g2-standard-24"}
    assert {(m.gpu, m.cloud) for m in found} == {("nvidia-l4", "gcp")}


def test_a_price_nobody_states_is_none() -> None:
    assert catalog().price("a3-ultragpu-8g") is None
    assert catalog().price("p5.48xlarge", "spot") is None


def test_checkpoints_are_found_by_model_by_alias_and_by_repository() -> None:
    by_model = catalog().checkpoints("meta-llama/Llama-3.1-8B-Instruct", "q4_k_m")
    assert by_model == catalog().checkpoints("meta-llama/Meta-Llama-3.1-8B-Instruct", "q4_k_m")
    assert [row.bytes for row in by_model] == [4_920_739_232]
    awq = catalog().checkpoint("Qwen/Qwen2.5-7B-Instruct-AWQ")
    assert awq is not None
    assert awq.model == "Qwen/Qwen2.5-7B-Instruct"
    assert catalog().checkpoint("nobody/nothing") is None


def test_importing_the_catalog_reads_no_file() -> None:
    program = "import yaml, modelberth.catalog as c; yaml.load = None; c.catalog(); print('quiet')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "quiet\n"


def test_a_look_up_reads_only_the_file_of_its_organization(folder: Path) -> None:
    found = write(folder, MODEL)
    (folder / "models" / "broken.yaml").write_text("rows: [")
    assert found.model("acme/small").id == "acme/tiny"


def test_fields_shared_by_all_rows_give_way_to_those_of_a_row(folder: Path) -> None:
    found = write(folder, MODEL + "    as_of: 2025-05-05\n").model("acme/tiny")
    assert found.as_of.year == 2025


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        (MODEL + "    hidden_size: 65\n", "appears twice"),
        (MODEL + MODEL, "two models are called 'acme/tiny'"),
        (MODEL + "    hidden_sizes: 65\n", "acme.yaml: acme/tiny: hidden_sizes"),
        (MODEL.replace("num_kv_heads: 2", "num_kv_heads: 0"), "num_kv_heads"),
        (MODEL + "    revision: abc\n", "revision"),
        (" [", "acme.yaml"),
    ],
)
def test_bad_data_is_refused_with_the_file_and_the_reason(folder: Path, rows: str, complaint: str) -> None:
    with pytest.raises(CatalogError, match=complaint):
        write(folder, rows).model("acme/tiny")


def test_a_file_has_nothing_but_shared_and_rows(folder: Path) -> None:
    (folder / "gpus.yaml").write_text("rows: []\nrow: []\n")
    with pytest.raises(CatalogError, match=r"gpus\.yaml: unexpected row"):
        Catalog(folder).gpus()


def test_rows_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        catalog().gpu("nvidia-l4").visible_memory_gib = 24  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("name", ["../gpus", "../../etc/passwd", "a\0b", "x" * 10_000, "", "/", "meta-llama"])
def test_a_name_is_never_a_path(name: str) -> None:
    with pytest.raises(UnknownName):
        catalog().model(name)
