"""GPUs, machine types and prices: complete, consistent with each other, and no figure of sparse matrices."""

import re
from itertools import pairwise
from pathlib import Path

import pytest

from modelberth.catalog import Catalog, Gpu, Machine, catalog
from modelberth.catalog.schema import Link, TensorDtype

MACHINE_TYPES = (Path(__file__).parents[1] / "data" / "machine_types.txt").read_text().split()
UNPRICED = {"p5e.48xlarge", "a3-ultragpu-8g", "a4-highgpu-8g", "a4x-highgpu-4g"}
SLICED = {
    "g6f.large": 0.125,
    "g6f.xlarge": 0.125,
    "g6f.2xlarge": 0.25,
    "g6f.4xlarge": 0.5,
    "g4-standard-6": 0.125,
    "g4-standard-12": 0.25,
    "g4-standard-24": 0.5,
}
GPU_IDS = {
    "amd-mi300x",
    "amd-mi325x",
    "amd-mi355x",
    "apple-m1-pro-16gb",
    "apple-m2-max-32gb",
    "apple-m3-max-48gb",
    "nvidia-a100-40gb",
    "nvidia-a100-80gb",
    "nvidia-a10g",
    "nvidia-b200",
    "nvidia-b300",
    "nvidia-gb10",
    "nvidia-gb200",
    "nvidia-gb300",
    "nvidia-gh200-96gb",
    "nvidia-h100-80gb",
    "nvidia-h20-96gb",
    "nvidia-h200-141gb",
    "nvidia-l4",
    "nvidia-l40s",
    "nvidia-rtx-3090",
    "nvidia-rtx-4070-8gb",
    "nvidia-rtx-4090",
    "nvidia-rtx-5080",
    "nvidia-rtx-5090",
    "nvidia-rtx-a6000",
    "nvidia-rtx-pro-4500",
    "nvidia-rtx-pro-6000",
    "nvidia-t4",
    "nvidia-t4g",
    "nvidia-v100-16gb",
    "nvidia-v100-32gb",
}
DENSE_16_BIT = {  # of data sheets that print both the dense and the sparse column
    "amd-mi300x": 1307.4,
    "nvidia-a100-40gb": 312,
    "nvidia-a100-80gb": 312,
    "nvidia-a10g": 70,
    "nvidia-b200": 2250,
    "nvidia-b300": 2250,
    "nvidia-gb200": 2500,
    "nvidia-gb300": 2500,
    "nvidia-h100-80gb": 989,
    "nvidia-h200-141gb": 989,
    "nvidia-l4": 121,
    "nvidia-l40s": 362.05,
    "nvidia-rtx-4090": 165.2,
    "nvidia-rtx-5090": 209.5,
    "nvidia-rtx-pro-6000": 467.8,
    "nvidia-t4": 65,
}
WIDTHS = (TensorDtype.BF16, TensorDtype.FP8, TensorDtype.FP4)
FIRST_WITH = {
    TensorDtype.BF16: (8, 0),
    TensorDtype.FP16: (7, 0),
    TensorDtype.INT8: (7, 5),
    TensorDtype.FP8: (8, 9),
    TensorDtype.FP4: (10, 0),
}


@pytest.fixture(scope="module")
def rows() -> Catalog:
    return catalog()


def compute_slices(profile: str) -> int:
    return int(profile.partition("g.")[0])


def test_every_gpu_we_promise_has_a_row(rows: Catalog) -> None:
    assert {gpu.id for gpu in rows.gpus()} == GPU_IDS


def test_compute_capability_is_read_as_two_numbers(rows: Catalog) -> None:
    assert rows.gpu("nvidia-b200").cc == (10, 0)
    assert rows.gpu("nvidia-l4").cc == (8, 9)
    assert rows.gpu("amd-mi300x").cc is None


def test_every_nvidia_gpu_has_a_compute_capability(rows: Catalog) -> None:
    assert [gpu.id for gpu in rows.gpus() if (gpu.vendor == "nvidia") != (gpu.cc is not None)] == []


def test_a_gpu_shows_no_more_memory_than_its_name_says_and_not_much_less(rows: Catalog) -> None:
    cards = [gpu for gpu in rows.gpus() if not gpu.unified_memory]
    assert [g.id for g in cards if not 0.9 < g.visible_memory_gib / g.marketing_memory_gb <= 1] == []


def test_a_gpu_that_shares_memory_with_the_cpu_leaves_some_of_it(rows: Catalog) -> None:
    shared = {gpu.id: gpu.visible_memory_gib / gpu.marketing_memory_gb for gpu in rows.gpus() if gpu.unified_memory}
    assert shared.keys() == {"nvidia-gb10", "apple-m1-pro-16gb", "apple-m2-max-32gb", "apple-m3-max-48gb"}
    assert all(0.66 < share < 0.95 for share in shared.values())


@pytest.mark.parametrize("gpu", DENSE_16_BIT)
def test_tensor_rates_are_those_of_dense_matrices(rows: Catalog, gpu: str) -> None:
    assert rows.gpu(gpu).half_precision_tflops == DENSE_16_BIT[gpu]


def test_half_the_width_is_at_least_twice_as_fast_and_never_four_times(rows: Catalog) -> None:
    def ratios(gpu: Gpu) -> list[float]:
        rates = [gpu.dense_tflops[width] for width in WIDTHS if width in gpu.dense_tflops]
        return [narrow / wide for wide, narrow in pairwise(rates)]

    found = {gpu.id: ratios(gpu) for gpu in rows.gpus()}
    assert sum(map(len, found.values())) >= 20
    assert {gpu: ratio for gpu, ratio in found.items() if not all(1.99 < each <= 4 for each in ratio)} == {}


def test_blackwell_ultra_traded_int8_for_fp4(rows: Catalog) -> None:
    for name in ("nvidia-b300", "nvidia-gb300"):
        rates = rows.gpu(name).dense_tflops
        assert rates[TensorDtype.FP4] == 3 * rates[TensorDtype.FP8]
        assert rates[TensorDtype.INT8] < rates[TensorDtype.BF16] / 10


def test_a_gpu_has_rates_only_for_formats_its_generation_multiplies(rows: Catalog) -> None:
    wrong = [
        (gpu.id, dtype.value)
        for gpu in rows.gpus()
        for dtype in gpu.dense_tflops
        if gpu.cc is not None and gpu.cc < FIRST_WITH[dtype]
    ]
    assert wrong == []


def test_float16_is_stated_only_where_there_is_no_bfloat16(rows: Catalog) -> None:
    both = {TensorDtype.FP16, TensorDtype.BF16}
    assert [gpu.id for gpu in rows.gpus() if both <= gpu.dense_tflops.keys()] == []
    assert rows.gpu("nvidia-t4").half_precision_tflops == 65
    assert rows.gpu("apple-m3-max-48gb").half_precision_tflops is None


def test_every_figure_of_a_gpu_names_its_source(rows: Catalog) -> None:
    def unsourced(gpu: Gpu) -> bool:
        return (
            bool(gpu.dense_tflops) != (gpu.dense_tflops_source is not None)
            or (gpu.link_gb_per_s is not None) != (gpu.link_source is not None)
            or bool(gpu.mig_profiles) != (gpu.mig_source is not None)
        )

    assert [gpu.id for gpu in rows.gpus() if unsourced(gpu)] == []


def test_only_nvlink_and_infinity_fabric_join_gpus_and_they_are_faster_than_pcie(rows: Catalog) -> None:
    for gpu in rows.gpus():
        assert gpu.nvlink == (gpu.link in (Link.NVLINK, Link.INFINITY_FABRIC)), gpu.id
        assert (gpu.link_gb_per_s is None) == (gpu.link is Link.UNIFIED), gpu.id
        assert gpu.link_gb_per_s is None or (gpu.link_gb_per_s > 64) == gpu.nvlink, gpu.id


def test_the_fabric_of_a_board_is_eight_gpus_and_that_of_a_rack_seventy_two(rows: Catalog) -> None:
    domains = {gpu: rows.gpu(gpu).nvlink_domain for gpu in ("nvidia-h100-80gb", "nvidia-gb200", "nvidia-l4")}
    assert domains == {"nvidia-h100-80gb": 8, "nvidia-gb200": 72, "nvidia-l4": 1}


def test_mig_slices_never_exceed_the_card(rows: Catalog) -> None:
    cut = [gpu for gpu in rows.gpus() if gpu.mig_profiles]
    assert {"nvidia-a100-40gb", "nvidia-a100-80gb", "nvidia-h100-80gb", "nvidia-h200-141gb", "nvidia-b200"} <= {
        gpu.id for gpu in cut
    }
    for gpu in cut:
        whole = max(map(compute_slices, gpu.mig_profiles))
        for name, profile in gpu.mig_profiles.items():
            assert re.fullmatch(r"[1-7]g\.\d+gb", name)
            assert compute_slices(name) * profile.count <= whole, (gpu.id, name)
            assert profile.count * (profile.memory_gib or 0) <= gpu.visible_memory_gib, (gpu.id, name)


def test_exactly_the_machine_types_of_the_list_are_there(rows: Catalog) -> None:
    assert len(MACHINE_TYPES) == 241
    assert sorted(machine.id for machine in rows.machines()) == sorted(MACHINE_TYPES)


def test_every_machine_has_gpus_we_know_or_none(rows: Catalog) -> None:
    known = {gpu.id for gpu in rows.gpus()}
    wrong = [m.id for m in rows.machines() if (m.gpu is None) != (m.gpu_count == 0) or m.gpu not in known | {None}]
    assert wrong == []


def test_types_with_a_part_of_a_gpu_have_no_whole_one_so_that_nothing_is_sized_for_it(rows: Catalog) -> None:
    sliced = {m.id: m.gpu_slice for m in rows.machines() if m.gpu_slice}
    assert {name: part.fraction for name, part in sliced.items()} == SLICED
    assert {part.gpu for part in sliced.values()} == {"nvidia-l4", "nvidia-rtx-pro-6000"}
    assert [name for name in sliced if rows.machine(name).gpu] == []


def test_several_gpus_of_a_machine_are_joined_by_the_link_of_their_kind(rows: Catalog) -> None:
    for machine in rows.machines():
        assert (machine.gpu_interconnect is not None) == (machine.gpu_count > 1), machine.id
        if machine.gpu_count > 1 and machine.gpu:
            gpu = rows.gpu(machine.gpu)
            assert machine.gpu_interconnect == gpu.link, machine.id
            assert not gpu.nvlink or machine.gpu_count <= gpu.nvlink_domain, machine.id


def test_machines_have_between_one_and_twenty_two_gib_per_vcpu(rows: Catalog) -> None:
    assert [m.id for m in rows.machines() if not 1 < m.memory_gib / m.vcpu <= 22] == []


def test_the_network_of_every_gpu_machine_is_known(rows: Catalog) -> None:
    with_gpu = [m for m in rows.machines() if m.gpu]
    assert [m.id for m in with_gpu if not 1 <= (m.network_gbps or 0) <= 6400] == []


def test_graviton_axion_and_grace_machines_are_arm_and_no_others(rows: Catalog) -> None:
    def arm(machine: Machine) -> bool:
        family = re.split(r"[.-]", machine.id)[0]
        return family in ("c4a", "a4x") or (machine.cloud == "aws" and family.endswith("g") and family[1].isdigit())

    assert {machine.arch for machine in rows.machines()} == {"amd64", "arm64"}
    assert [m.id for m in rows.machines() if arm(m) != (m.arch == "arm64")] == []


def test_every_price_is_of_a_machine_we_know(rows: Catalog) -> None:
    known = {machine.id for machine in rows.machines()}
    assert [price.machine for price in rows.prices() if price.machine not in known] == []


def test_only_machines_whose_price_no_source_states_have_none(rows: Catalog) -> None:
    assert {machine.id for machine in rows.machines() if rows.price(machine.id) is None} == UNPRICED


def test_spot_prices_are_those_of_google_cloud_alone(rows: Catalog) -> None:
    spot = {price.machine for price in rows.prices() if price.capacity == "spot"}
    assert {rows.machine(name).cloud for name in spot} == {"gcp"}


def test_spot_is_never_dearer_than_on_demand(rows: Catalog) -> None:
    def dearer(machine: Machine) -> bool:
        spot, full = rows.price(machine.id, "spot"), rows.price(machine.id)
        return bool(spot and full and spot.usd_per_hour >= full.usd_per_hour)

    assert [machine.id for machine in rows.machines() if dearer(machine)] == []
