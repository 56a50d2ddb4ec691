"""The rows that come with the package: valid, consistent, dated, and what is publicly known of them."""

from collections import Counter
from collections.abc import Iterable
from datetime import date
from importlib.resources import files
from pathlib import Path

import pytest

from modelberth.catalog import (
    Catalog,
    Checkpoint,
    Format,
    Model,
    Quantization,
    Row,
    catalog,
)
from modelberth.catalog.loader import read_rows

MODEL_IDS = (Path(__file__).parents[1] / "data" / "model_ids.txt").read_text().split()
NEWEST_FACT = date(2026, 11, 22)


@pytest.fixture(scope="module")
def rows() -> Catalog:
    return catalog()


def dated(rows: Catalog) -> Iterable[Row]:
    checkpoints = (row for model in rows.models() for row in rows.checkpoints(model.id))
    return (
        *rows.models(),
        *checkpoints,
        *rows.gpus(),
        *rows.machines(),
        *rows.prices(),
        *rows.engines(),
    )


def later_than(newest: date, rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row.as_of > newest]


@pytest.mark.parametrize("name", MODEL_IDS)
def test_every_model_id_we_promise_resolves(rows: Catalog, name: str) -> None:
    model = rows.model(name)
    assert name in (model.id, *model.aliases)


@pytest.mark.parametrize(
    ("name", "resolves_to"),
    [
        ("meta-llama/Llama-3.1-8B", "meta-llama/Meta-Llama-3.1-8B"),
        ("meta-llama/Meta-Llama-3.1-8B-Instruct", "meta-llama/Llama-3.1-8B-Instruct"),
        ("meta-llama/Llama-3.1-70B", "meta-llama/Meta-Llama-3.1-70B"),
        ("meta-llama/Meta-Llama-3.1-70B-Instruct", "meta-llama/Llama-3.1-70B-Instruct"),
        (
            "meta-llama/Meta-Llama-3.1-405B-Instruct",
            "meta-llama/Llama-3.1-405B-Instruct",
        ),
        ("zhipuai/GLM-5", "zai-org/GLM-5"),
    ],
)
def test_the_names_a_repository_also_has_resolve_to_it(rows: Catalog, name: str, resolves_to: str) -> None:
    assert rows.model(name).id == resolves_to


def test_no_model_name_is_used_twice_across_files(rows: Catalog) -> None:
    names = Counter(name for model in rows.models() for name in (model.id, *model.aliases))
    assert [name for name, uses in names.items() if uses > 1] == []


def test_every_file_is_named_after_the_organization_of_its_models() -> None:
    folder = files("modelberth.catalog") / "models"
    strays = [
        model.id
        for file in folder.iterdir()
        for model in read_rows(file, Model)
        if model.id.partition("/")[0] != file.name.removesuffix(".yaml")
    ]
    assert strays == []


def test_no_fact_is_dated_after_the_newest_one_we_know_of(rows: Catalog) -> None:
    assert later_than(NEWEST_FACT, dated(rows)) == []


def test_a_fact_from_tomorrow_would_be_noticed(rows: Catalog) -> None:
    assert later_than(date(2026, 1, 1), dated(rows))


def test_layers_by_kind_never_add_up_to_more_than_there_are(rows: Catalog) -> None:
    kinds = ("full_attention_layers", "sliding_layers", "linear_layers")
    wrong = [
        model.id
        for model in rows.models()
        if model.num_layers and sum(getattr(model, kind) or 0 for kind in kinds) > model.num_layers
    ]
    assert wrong == []


def test_query_heads_are_a_multiple_of_key_value_heads(rows: Catalog) -> None:
    assert [m.id for m in rows.models() if m.num_attention_heads % m.num_kv_heads] == []


def test_a_mixture_of_experts_says_how_many_of_them_a_token_uses(rows: Catalog) -> None:
    stated = [m for m in rows.models() if m.num_experts and m.experts_per_token]
    assert [m.id for m in stated if not (m.experts_per_token or 0) < (m.num_experts or 0)] == []


def test_gemma_4_is_the_only_mixture_whose_sources_leave_that_out(
    rows: Catalog,
) -> None:
    silent = {m.architecture for m in rows.models() if m.num_experts and m.experts_per_token is None}
    assert silent <= {"Gemma4ForConditionalGeneration"}


def test_every_checkpoint_belongs_to_a_model_we_know() -> None:
    folder = files("modelberth.catalog") / "checkpoints"
    known = {model.id for model in catalog().models()}
    wrong = [
        (file.name, row.repository)
        for file in folder.iterdir()
        for row in read_rows(file, Checkpoint)
        if row.model not in known or row.model.partition("/")[0] != file.name.removesuffix(".yaml")
    ]
    assert wrong == []


def test_gguf_checkpoints_name_their_file_and_no_file_appears_twice(
    rows: Catalog,
) -> None:
    found = [row for model in rows.models() for row in rows.checkpoints(model.id)]
    assert [row.repository for row in found if (row.format is Format.GGUF) != (row.file is not None)] == []
    assert max(Counter((row.repository, row.file) for row in found).values()) == 1


def test_more_bits_per_weight_make_a_larger_file(rows: Catalog) -> None:
    order = [
        "q2_k",
        "q3_k_s",
        "q3_k_m",
        "q3_k_l",
        "q4_k_s",
        "q4_k_m",
        "q5_k_s",
        "q5_k_m",
        "q6_k",
        "q8_0",
    ]
    sizes = {row.quantization: row.bytes or 0 for row in rows.checkpoints("meta-llama/Llama-3.1-8B-Instruct")}
    measured = [sizes[Quantization(name)] for name in order]
    assert all(measured)
    assert measured == sorted(measured)


def test_llama_70b_has_the_shape_that_everybody_quotes(rows: Catalog) -> None:
    model = rows.model("meta-llama/Llama-3.1-70B-Instruct")
    assert (model.num_layers, model.num_kv_heads, model.head_dim) == (80, 8, 128)
    assert model.max_position == 131_072


def test_the_guide_s_other_models_are_there(rows: Catalog) -> None:
    assert rows.model("meta-llama/Llama-2-13b-chat-hf").num_kv_heads == 40
    assert rows.model("codellama/CodeLlama-34b-Instruct-hf").num_layers == 48
    assert rows.model("meta-llama/Llama-2-7b-hf").intermediate_size == 11_008


def test_qwen_instruct_has_a_shorter_context_than_its_base(rows: Catalog) -> None:
    assert rows.model("Qwen/Qwen2.5-7B").max_position == 131_072
    assert rows.model("Qwen/Qwen2.5-7B-Instruct").max_position == 32_768


def test_an_archived_engine_names_engines_that_follow_it(rows: Catalog) -> None:
    known = {engine.id for engine in rows.engines()}
    archived = [engine for engine in rows.engines() if engine.archived]
    assert archived
    assert all(engine.successors and set(engine.successors) <= known for engine in archived)


def test_batch_defaults_of_an_engine_cover_every_gpu_and_except_only_gpus_we_know(
    rows: Catalog,
) -> None:
    known = {gpu.id for gpu in rows.gpus()}
    for defaults in (engine.batch_defaults for engine in rows.engines() if engine.batch_defaults):
        assert defaults[-1].min_visible_memory_gib == 0
        assert not defaults[-1].except_gpus
        assert {gpu for row in defaults for gpu in row.except_gpus} <= known


def test_an_image_is_the_template_with_the_version_in_it(rows: Catalog) -> None:
    assert rows.engine("vllm").image("cuda") == "vllm/vllm-openai:v0.33.0"
    assert rows.engine("llamacpp").image("cpu", "b11739") == "ghcr.io/ggml-org/llama.cpp:server-b11739"
