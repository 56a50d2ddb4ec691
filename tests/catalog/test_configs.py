"""A model's own config.json becomes a row of the catalog, or one error that names every field that is wrong."""

import copy
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelberth.catalog import Quantization, catalog
from modelberth.catalog.config_formats import stored_formats
from modelberth.catalog.configs import MOST_PROBLEMS, ConfigError, model_of
from modelberth.catalog.schema import Model
from modelberth.memory import shape_of
from modelberth.memory.shapes import Role

SAMPLES = Path(__file__).parents[1] / "data" / "configs"
NAMES = sorted(file.stem for file in SAMPLES.glob("*.json"))
"""Trimmed config.json files, one per family and quantization format; ``_source`` says where each was read."""

LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "torch_dtype": "bfloat16",
    "num_hidden_layers": 32,
    "hidden_size": 4096,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 14336,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
}
MIXTURE = LLAMA | {
    "architectures": ["Qwen3MoeForCausalLM"],
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "moe_intermediate_size": 768,
}
NOT_IN_CONFIGS = {"id", "aliases", "source", "as_of", "weights_bytes", "weights_source", "revision", "gated", "license"}
SAID_ELSEWHERE = {
    "nvidia/NVIDIA-Nemotron-3-Super-120B-A12B-FP8": {"formats"},  # its hf_quant_config.json lists nothing
}


def sample(name: str) -> dict[str, Any]:
    return json.loads((SAMPLES / f"{name}.json").read_text())


def problems(config: Any) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as refused:
        model_of(config, "org/model")
    return refused.value.problems


def facts(model: Model, without: set[str] = frozenset()) -> dict[str, Any]:
    return {name: value for name, value in model if name not in NOT_IN_CONFIGS | set(without)}


@pytest.mark.parametrize("name", NAMES)
def test_what_a_config_says_is_what_the_catalog_says(name: str) -> None:
    id = name.replace("--", "/")
    without = SAID_ELSEWHERE.get(id, set())
    assert facts(model_of(sample(name), id), without) == facts(catalog().model(id), without)


@pytest.mark.parametrize("name", NAMES)
def test_every_sample_says_where_it_was_read(name: str) -> None:
    assert sample(name)["_source"]


def test_layers_are_counted_by_what_they_keep() -> None:
    def kinds(name: str) -> tuple[int | None, ...]:
        model = model_of(sample(name), name)
        return model.full_attention_layers, model.sliding_layers, model.linear_layers, model.sliding_window

    assert kinds("meta-llama--Meta-Llama-3.1-8B") == (32, 0, 0, None)
    assert kinds("google--gemma-3-27b-it") == (10, 52, 0, 1024)
    assert kinds("openai--gpt-oss-20b") == (12, 12, 0, 128)
    assert kinds("Qwen--Qwen3.5-27B") == (16, 0, 48, None)
    assert kinds("meta-llama--Llama-4-Scout-17B-16E-Instruct") == (12, 36, 0, 8192)
    assert kinds("nvidia--NVIDIA-Nemotron-3-Nano-30B-A3B-NVFP4") == (6, 0, 23, None)
    assert kinds("XiaomiMiMo--MiMo-V2-Flash") == (9, 39, 0, 128)
    assert kinds("moonshotai--Kimi-K3") == (24, 0, 69, None)
    assert kinds("nvidia--Llama-3_3-Nemotron-Super-49B-v1") == (49, 0, 0, None)


@pytest.mark.parametrize(
    ("stated", "full", "sliding"),
    [
        ({}, 32, 0),
        ({"sliding_window": 4096}, 0, 32),
        ({"sliding_window": 4096, "use_sliding_window": False}, 32, 0),
        ({"sliding_window": 4096, "use_sliding_window": True, "max_window_layers": 28}, 28, 4),
        ({"sliding_window": 262_144}, 32, 0),
        ({"sliding_window": 4096, "sliding_window_pattern": 4}, 8, 24),
        ({"sliding_window": 4096, "sliding_window_pattern": "LLLG"}, 8, 24),
        ({"sliding_window": 4096, "layer_types": ["sliding_attention", "full_attention"] * 16}, 16, 16),
    ],
)
def test_a_window_applies_to_the_layers_that_the_config_means(stated: dict[str, Any], full: int, sliding: int) -> None:
    model = model_of(LLAMA | stated, "org/model")
    assert (model.full_attention_layers, model.sliding_layers) == (full, sliding)


@pytest.mark.parametrize(
    ("stated", "layers"),
    [
        ({}, 32),
        ({"first_k_dense_replace": 3}, 29),
        ({"decoder_sparse_step": 2}, 16),
        ({"mlp_only_layers": [0, 1]}, 30),
        ({"moe_layer_freq": [0] * 3 + [1] * 29}, 29),
        ({"mlp_layer_types": ["dense"] + ["sparse"] * 31}, 31),
        ({"moe_layers_enum": "3,4,5"}, 3),
    ],
)
def test_layers_with_experts_are_counted(stated: dict[str, Any], layers: int) -> None:
    assert model_of(MIXTURE | stated, "org/model").moe_layers == layers


@pytest.mark.parametrize(
    ("stated", "quantization", "group"),
    [
        ({"quant_method": "fp8"}, "fp8", None),
        ({"quant_method": "awq", "bits": 4, "group_size": 128}, "awq", None),
        ({"quant_method": "gptq", "bits": 4, "group_size": 32}, "gptq", 32),
        ({"quant_method": "gptq", "bits": 8}, "int8", None),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "nf4", None),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "int8", None),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, "nvfp4", None),
        ({"quant_algo": "FP8"}, "fp8", None),
        ({"quant_method": "quark", "global_quant_config": {"weight": {"dtype": "fp4"}}}, "mxfp4", None),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {"group_0": {"weights": {"num_bits": 8, "type": "float"}}},
            },
            "fp8",
            None,
        ),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {"group_0": {"weights": {"num_bits": 4, "type": "int", "group_size": 32}}},
            },
            "gptq",
            32,
        ),
    ],
)
def test_formats_are_read_from_what_every_producer_writes(
    stated: dict[str, Any], quantization: str, group: int | None
) -> None:
    model = model_of(LLAMA | {"quantization_config": stated}, "org/model")
    assert (model.quantization, model.group_size) == (quantization, group)


def test_without_a_quantization_the_stored_type_is_the_format() -> None:
    assert model_of(LLAMA, "org/model").quantization is Quantization.BF16
    assert model_of(LLAMA | {"torch_dtype": "float16"}, "org/model").quantization is Quantization.FP16
    assert model_of(LLAMA | {"torch_dtype": "float32"}, "org/model").quantization is None


def skipping(config: dict[str, Any], *modules: str) -> dict[str, Quantization]:
    stated = {"quant_method": "modelopt", "quant_algo": "NVFP4", "exclude_modules": list(modules)}
    return model_of(config | {"quantization_config": stated}, "org/model").formats


def test_what_is_left_unquantized_is_said_by_role() -> None:
    assert skipping(LLAMA, "lm_head", "model.embed_tokens") == {}
    assert skipping(LLAMA, "model.layers.*.self_attn*") == {"attention": "bf16"}
    assert skipping(MIXTURE, "re:.*shared_expert.*", "model.layers.0.mlp.gate") == {"shared_experts": "bf16"}
    every = [f"model.layers.{layer}.self_attn.{name}_proj" for layer in range(32) for name in "qkvo"]
    assert skipping(LLAMA, *every) == {"attention": "bf16"}
    assert skipping(LLAMA, *every[:12]) == {}, "3 of 32 layers are no rule"
    inputs = [name for name in every if not name.endswith("o_proj")]
    assert skipping(LLAMA, *inputs) == {"attention": "bf16", "attn_output": "nvfp4"}


def test_the_quantization_file_beside_a_config_is_read_like_its_own_section() -> None:
    beside = {"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "FP8", "exclude_modules": ["lm_head"]}}
    assert model_of(stored_formats(LLAMA, beside), "org/model").quantization is Quantization.FP8


def test_an_architecture_nobody_described_is_named() -> None:
    assert problems(LLAMA | {"architectures": ["BrandNewForCausalLM"]}) == (
        "architectures: BrandNewForCausalLM is not known",
    )
    assert "side by side" in problems(LLAMA | {"architectures": ["FalconForCausalLM"]})[0]
    assert problems({}) == ("architectures: missing: a list with the name of the model's class",)


def test_layers_that_attend_to_images_are_layers_of_the_model_and_their_tower_is_counted() -> None:
    config = json.loads((SAMPLES / "meta-llama--Llama-3.2-11B-Vision-Instruct.json").read_text())
    shape = shape_of(model_of(config, "org/mllama"))
    assert shape.parameters == pytest.approx(10_670_220_835, rel=1e-5)  # as its index states
    assert sum(part.elements for part in shape.of(Role.VISION)) == 895_028_755
    assert [cache.layers for cache in shape.caches] == [32]


def test_a_wrapper_is_read_as_the_language_model_inside_it() -> None:
    vision = {"hidden_size": 1024, "num_hidden_layers": 24, "intermediate_size": 4096, "patch_size": 14}
    inside = LLAMA | {"architectures": ["Qwen3ForCausalLM"]}
    model = model_of({"architectures": ["InternVLChatModel"], "llm_config": inside, "vision_config": vision}, "org/vl")
    assert (model.architecture, model.num_layers, model.has_vision) == ("Qwen3ForCausalLM", 32, True)
    assert model.vision_parameters == pytest.approx(0.338e9, rel=0.01)
    assert problems({"architectures": ["InternVLChatModel"]}) == ("llm_config: missing",)
    nameless = {"architectures": ["InternVLChatModel"], "llm_config": {}}
    assert problems(nameless)[0].startswith("llm_config.architectures: missing")


def test_everything_that_is_missing_is_listed_at_once() -> None:
    missing = problems({"architectures": ["LlamaForCausalLM"], "num_hidden_layers": 2})
    assert [problem.partition(":")[0] for problem in missing] == [
        "hidden_size",
        "num_attention_heads",
        "vocab_size",
        "intermediate_size",
    ]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("num_hidden_layers", -1),
        ("num_hidden_layers", 10**9),
        ("num_hidden_layers", True),
        ("num_hidden_layers", 3.5),
        ("num_hidden_layers", "32"),
        ("hidden_size", math.nan),
        ("hidden_size", math.inf),
        ("hidden_size", 2**60),
        ("vocab_size", []),
        ("vocab_size", {}),
        ("num_attention_heads", 0),
        ("num_key_value_heads", 5),
        ("max_position_embeddings", 2**70),
        ("tie_word_embeddings", "yes"),
        ("sliding_window", -4096),
        ("layer_types", "full_attention"),
        ("layer_types", ["full_attention"] * 3),
        ("layer_types", [{"a": 1}] * 32),
        ("torch_dtype", 16),
        ("quantization_config", "fp8"),
        ("head_dim", 10**7),
    ],
)
def test_a_field_that_cannot_be_is_named(field: str, value: Any) -> None:
    found = problems(LLAMA | {field: value})
    assert found
    assert all(problem.startswith(field) for problem in found)


def test_a_field_inside_the_text_model_is_named_with_its_path() -> None:
    config = sample("google--gemma-3-27b-it")
    config["text_config"]["num_hidden_layers"] = "many"
    assert problems(config)[0].startswith("text_config.num_hidden_layers: a text is not a whole number")


def test_no_error_repeats_what_a_text_says() -> None:
    secret = "hf_" + "x" * 40
    config = LLAMA | {"num_hidden_layers": secret, "torch_dtype": [secret], "quantization_config": {"quant_method": 7}}
    assert all(secret not in problem for problem in problems(config))


def test_a_number_too_long_to_print_is_refused_without_printing_it() -> None:
    assert "bits" in problems(LLAMA | {"hidden_size": 10**5000})[0]


@pytest.mark.parametrize("config", [None, [], "{}", 7, math.nan])
def test_what_is_no_object_is_refused(config: Any) -> None:
    assert problems(config)[0].startswith("the whole")


def test_ten_megabytes_of_module_names_are_refused_or_read() -> None:
    names = [f"model.layers.{n % 32}.mlp.{n}" for n in range(290_000)]
    found = skipping(LLAMA, *names)
    assert found == {"mlp": "bf16"}
    words = [
        f"{chr(97 + n % 26)}{chr(97 + n // 26 % 26)}{chr(97 + n // 676 % 26)}{'x' * (n // 17_576)}"
        for n in range(99_999)
    ]
    stated = {"quant_method": "fp8", "ignored_layers": words}
    assert "different names" in problems(LLAMA | {"quantization_config": stated})[0]


def test_a_pattern_that_would_hang_a_regular_expression_is_only_read() -> None:
    assert skipping(LLAMA, "re:(a+)+$" + "a" * 100_000) == {}


def test_nesting_deeper_than_any_stack_is_ignored() -> None:
    deep: dict[str, Any] = {}
    for _ in range(50_000):
        deep = {"deep": deep}
    assert model_of(LLAMA | {"rope_scaling": deep}, "org/model").num_layers == 32


def test_a_message_stays_short_however_much_is_wrong() -> None:
    blocks = [{"attention": {"n_heads_in_group": -1}, "ffn": {"ffn_mult": math.nan}}] * 900
    config = {"architectures": ["DeciLMForCausalLM"], "num_hidden_layers": 900, "block_configs": blocks}
    with pytest.raises(ConfigError) as refused:
        model_of(config, "org/model")
    assert str(refused.value).count(";") <= MOST_PROBLEMS
    assert len(str(refused.value)) < 5_000


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([0, -1, 1, 2**200]),
    st.floats(),
    st.text(max_size=20),
    st.lists(st.integers(), max_size=4),
    st.lists(st.one_of(st.none(), st.text(max_size=5), st.booleans()), max_size=40),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=3),
)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a config, lists by their first three items."""
    places = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value[:3]) if isinstance(value, list) else ()
    for key, inner in items:
        places += leaves(inner, (*path, key))
    return places


def replaced(config: dict[str, Any], place: tuple[Any, ...], value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(config)
    inner: Any = changed
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return changed


CONFIGS = [sample(name) for name in NAMES if (SAMPLES / f"{name}.json").stat().st_size < 4_000]
PLACES = [leaves(config) for config in CONFIGS]


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_whatever_one_field_holds_the_answer_is_a_model_or_one_error(data: st.DataObject) -> None:
    which = data.draw(st.integers(0, len(CONFIGS) - 1))
    place = data.draw(st.sampled_from(PLACES[which]))
    config = replaced(CONFIGS[which], place, data.draw(ODD))
    try:
        assert model_of(config, "org/model").hidden_size > 0
    except ConfigError as refused:
        assert refused.problems  # noqa: PT017 - either outcome is right


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from([*LLAMA, "text_config", "vision_config", "quantization_config"]), ODD))
def test_whatever_all_fields_hold_the_answer_is_a_model_or_one_error(fields: dict[str, Any]) -> None:
    try:
        model_of({"architectures": ["Gemma3ForConditionalGeneration"]} | fields, "org/model")
    except ConfigError as refused:
        assert refused.problems  # noqa: PT017
