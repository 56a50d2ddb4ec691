"""Our sums of llama.cpp against what the real llama-server prints, for small models whose layers go to pretended GPUs.

A GPU is a ggml-rpc-server on the loopback: llama-server places layers, cache and compute buffers on it as on any other.
"""

from __future__ import annotations

import re
import socket
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from modelberth.catalog import Model
from modelberth.memory import Ranks, Setup, Stored, shape_of
from modelberth.memory import llamacpp as ours
from modelberth.memory.llama_graph import compute_bytes, host_bytes
from modelberth.units import GIB, MIB
from tests.judges.tiny_models import GEMMA, HYBRID, LATENT, LLAMA, MIXTURE, WIDE_LLAMA, make
from tests.ports import free_port
from toolchain import judges

pytestmark = pytest.mark.engine

BUILD = "b10434"
PRINTED = 0.006
"""Sizes are printed in MiB with two decimals."""

_BUFFER = re.compile(r": +(?:CPU|RPC\d+\[(\S+)\])\S* +(model|KV|RS|compute|output) buffer size = +([\d.]+) MiB")
FAMILIES = pytest.mark.parametrize(
    "model", [LLAMA, WIDE_LLAMA, MIXTURE, GEMMA, LATENT, HYBRID], ids=lambda m: m.architecture
)


@dataclass
class Printed:
    """MiB by kind of buffer and device."""

    mib: dict[str, dict[str, float]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(float)))


def wait_for(port: int) -> None:
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"nothing listens on {port}")


@contextmanager
def program(*command: str) -> Iterator[subprocess.Popen[str]]:
    started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield started
    finally:
        started.kill()
        started.wait()


def lines_until(process: subprocess.Popen[str], *signs: str) -> list[str]:
    found: list[str] = []
    assert process.stdout
    for line in process.stdout:
        found.append(line)
        if any(sign in line for sign in signs):
            return found
    raise AssertionError("".join(found[-20:]))


def start(path: Path, gpus: int, *arguments: str) -> Printed:
    """Start llama-server with so many pretended GPUs and read the sizes that it prints before it computes anything."""
    server = judges.llama_server()
    with ExitStack() as running:
        devices: list[str] = []
        for _ in range(gpus):
            port = free_port()
            running.enter_context(program(str(server.parent / "ggml-rpc-server"), "-p", str(port)))
            wait_for(port)
            devices.append(f"127.0.0.1:{port}")
        spread = ["--rpc", ",".join(devices), "--tensor-split", ",".join("1" * gpus)] if gpus else []
        common = ["--model", str(path), "--port", str(free_port()), "--no-warmup", "--fit", "off", "--verbose"]
        process = running.enter_context(program(str(server), *common, *spread, *arguments))
        printed = Printed()
        for line in lines_until(process, "sched_reserve: reserve took"):
            if match := _BUFFER.search(line):
                device = f"GPU{devices.index(match[1])}" if match[1] else "CPU"
                printed.mib[match[2]][device] += float(match[3])
        return printed


def served(model: Model, tmp_path: Path, setup: Setup, slots: int, *arguments: str) -> Printed:
    path = tmp_path / "model.gguf"
    make(model, path)
    gpus = setup.ranks.gpus if setup.on_gpu else 0
    layers = str(setup.gpu_layers if setup.gpu_layers is not None else 999) if setup.on_gpu else "0"
    total = str((setup.context or 0) * slots)
    return start(path, gpus, "--ctx-size", total, "--parallel", str(slots), "--n-gpu-layers", layers, *arguments)


def setup_of(model: Model, *, context: int = 2048, slots: int = 2, gpus: int = 1, layers: int | None = None) -> Setup:
    return Setup(
        shape=shape_of(model),
        stored=Stored("q8_0"),
        engine_version=BUILD,
        capacity_bytes=16 * GIB,
        gpu=None,
        on_gpu=gpus > 0,
        ranks=Ranks(max(1, gpus)),
        context=context,
        max_num_seqs=slots,
        gpu_layers=layers,
    )


def held(setup: Setup) -> Sequence[range]:
    every = setup.shape.layers + 1
    offloaded = every if setup.gpu_layers is None else setup.gpu_layers
    return [ours.layers_on(gpu, setup.ranks.gpus, setup.shape.layers, offloaded) for gpu in range(setup.ranks.gpus)]


def cache_mib(setup: Setup, layers: range) -> float:
    slots = ours.slots_of(setup)
    return ours.Cells(setup.shape, frozenset(layers), "auto", slots, "").bytes(slots) / MIB


@FAMILIES
def test_weights_and_cache_of_a_gpu_are_what_the_engine_allocates(model: Model, tmp_path: Path) -> None:
    setup = setup_of(model)
    printed = served(model, tmp_path, setup, 2)
    file = ours.stored_bytes(setup.shape, setup.stored)
    (layers,) = held(setup)
    assert printed.mib["model"]["GPU0"] == pytest.approx(ours.device_bytes(file, layers) / MIB, rel=1e-3)
    kept = printed.mib["KV"]["GPU0"] + printed.mib["RS"]["GPU0"]
    assert kept == pytest.approx(cache_mib(setup, layers), abs=2 * PRINTED)
    assert printed.mib["KV"]["CPU"] == 0


@FAMILIES
def test_the_compute_buffer_is_within_the_range_of_its_term(model: Model, tmp_path: Path) -> None:
    setup = setup_of(model, context=4096)
    term = ours.memory(setup).term("activation")
    assert term
    low, high = term.range_bytes
    assert low / MIB <= served(model, tmp_path, setup, 2).mib["compute"]["GPU0"] <= high / MIB


def test_the_compute_buffer_of_a_llama_is_exact(tmp_path: Path) -> None:
    setup = setup_of(LLAMA, context=16384)
    step = ours.step_of(setup.shape, ours.slots_of(setup), BUILD)
    printed = served(LLAMA, tmp_path, setup, 2)
    assert printed.mib["compute"]["GPU0"] == pytest.approx(compute_bytes(setup.shape, step) / MIB, rel=0.001)
    host = printed.mib["compute"]["CPU"] + printed.mib["output"]["CPU"]
    assert host == pytest.approx(host_bytes(setup.shape, step, 2) / MIB, rel=0.01)


def test_without_flash_attention_every_score_is_kept(tmp_path: Path) -> None:
    setup = setup_of(LLAMA, context=4096)
    step = ours.step_of(setup.shape, ours.slots_of(setup), BUILD, flash_attention=False)
    printed = served(LLAMA, tmp_path, setup, 2, "--flash-attn", "off")
    assert printed.mib["compute"]["GPU0"] == pytest.approx(compute_bytes(setup.shape, step) / MIB, rel=0.01)


@pytest.mark.parametrize("layers", [0, 1, 3, 6, 7])
def test_the_last_layers_are_offloaded_and_the_output_counts_as_one(layers: int, tmp_path: Path) -> None:
    setup = setup_of(LLAMA, layers=layers)
    printed = served(LLAMA, tmp_path, setup, 2)
    file = ours.stored_bytes(setup.shape, setup.stored)
    assert printed.mib["model"]["GPU0"] == pytest.approx(ours.device_bytes(file, held(setup)[0]) / MIB, abs=PRINTED)
    kept = range(setup.shape.layers + 1 - layers)
    assert printed.mib["KV"]["CPU"] == pytest.approx(cache_mib(setup, kept), abs=PRINTED)


def test_two_gpus_share_the_layers_in_equal_runs(tmp_path: Path) -> None:
    setup = setup_of(LLAMA, gpus=2)
    printed = served(LLAMA, tmp_path, setup, 2)
    file = ours.stored_bytes(setup.shape, setup.stored)
    for gpu, layers in enumerate(held(setup)):
        expected = ours.device_bytes(file, layers) / MIB
        assert printed.mib["model"][f"GPU{gpu}"] == pytest.approx(expected, abs=PRINTED)
        assert printed.mib["KV"][f"GPU{gpu}"] == pytest.approx(cache_mib(setup, layers), abs=PRINTED)


@pytest.mark.parametrize(("slots", "context"), [(1, 16384), (4, 8192), (3, 700)])
def test_windows_keep_a_window_per_slot_and_everything_is_padded_to_256(
    slots: int, context: int, tmp_path: Path
) -> None:
    setup = setup_of(GEMMA, slots=slots, context=context)
    printed = served(GEMMA, tmp_path, setup, slots)
    assert printed.mib["KV"]["GPU0"] == pytest.approx(cache_mib(setup, range(6)), abs=2 * PRINTED)


def test_unstated_slots_are_four_that_share_one_cache(tmp_path: Path) -> None:
    setup = setup_of(GEMMA, context=16384)
    path = tmp_path / "model.gguf"
    make(GEMMA, path)
    printed = start(path, 1, "--ctx-size", "16384", "--n-gpu-layers", "999")
    slots = ours.Slots(16384, ours.SLOTS, unified=True)
    expected = ours.Cells(setup.shape, frozenset(range(6)), "auto", slots, "").bytes(slots) / MIB
    assert printed.mib["KV"]["GPU0"] == pytest.approx(expected, abs=2 * PRINTED)


@pytest.mark.parametrize("kind", ["q8_0", "q4_0"])
def test_a_smaller_cache_type_is_exact_too(kind: str, tmp_path: Path) -> None:
    setup = setup_of(LLAMA)
    printed = served(LLAMA, tmp_path, setup, 2, "--cache-type-k", kind, "--cache-type-v", kind)
    slots = ours.slots_of(setup)
    expected = ours.Cells(setup.shape, frozenset(range(6)), kind, slots, "").bytes(slots) / MIB
    assert printed.mib["KV"]["GPU0"] == pytest.approx(expected, abs=PRINTED)


def test_on_a_cpu_the_whole_file_is_mapped(tmp_path: Path) -> None:
    setup = setup_of(LLAMA, gpus=0)
    printed = served(LLAMA, tmp_path, setup, 2, "--no-repack")
    file = ours.stored_bytes(setup.shape, setup.stored)
    assert printed.mib["model"]["CPU"] == pytest.approx(file.total / MIB, rel=1e-3)
    assert printed.mib["KV"]["CPU"] == pytest.approx(cache_mib(setup, range(6)), abs=PRINTED)
