"""Hand-written Ollama manifests: its context is that of one slot, its layers go where they fit."""

from __future__ import annotations

import pytest

from tests.rules.samples import codes, deployment, findings, ollama

T4 = {"nodeSelector": {"cloud.google.com/gke-accelerator": "nvidia-tesla-t4"}}


@pytest.mark.parametrize(("context", "slots", "rules"), [(8192, 2, []), (8192, 8, ["SZ-01"]), (32768, 2, ["SZ-01"])])
def test_every_slot_holds_the_whole_context(context: int, slots: int, rules: list[str]) -> None:
    container = ollama(OLLAMA_CONTEXT_LENGTH=context, OLLAMA_NUM_PARALLEL=slots)
    assert codes(deployment(container, pod={})) == rules


def test_the_way_out_is_told_in_its_own_variable() -> None:
    container = ollama(OLLAMA_CONTEXT_LENGTH=32768, OLLAMA_NUM_PARALLEL=2)
    (found,) = findings(deployment(container, pod={}), "SZ-01")
    assert "OLLAMA_CONTEXT_LENGTH=" in found.remedy


def test_without_a_context_its_own_default_for_the_memory_holds() -> None:
    assert codes(deployment(ollama(), pod={})) == []


def test_layers_that_it_would_leave_in_host_memory_are_undecided_until_they_are_stated() -> None:
    large = {"OLLAMA_CONTEXT_LENGTH": 32768, "OLLAMA_NUM_PARALLEL": 8, "gpus": 1}
    (found,) = findings(deployment(ollama(**large), pod=T4), "SZ-21")
    assert "LLAMA_ARG_N_GPU_LAYERS" in found.message
    assert codes(deployment(ollama(**large, LLAMA_ARG_N_GPU_LAYERS="all"), pod=T4)) == ["SZ-01"]


def test_settings_in_a_config_map_are_undecided() -> None:
    container = ollama() | {"envFrom": [{"configMapRef": {"name": "settings"}}]}
    assert codes(deployment(container, pod={})) == ["SZ-21"]


def test_a_server_whose_models_nobody_names_is_undecided() -> None:
    container = {name: value for name, value in ollama().items() if name != "lifecycle"}
    (found,) = findings(deployment(container, pod={}), "SZ-21")
    assert "the model" in found.message
