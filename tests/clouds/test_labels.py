"""From a GPU to the node labels that select it, and back."""

import pytest

from modelberth.catalog import catalog
from modelberth.clouds import (
    DIALECTS,
    accelerator_labels,
    gpu_from_labels,
    machine_from_labels,
    node_profile,
    node_selector,
)
from modelberth.clouds.base import accelerator_names
from modelberth.errors import UnknownName

SPOKEN = [(gpu.id, dialect) for gpu in catalog().gpus() for dialect in DIALECTS if accelerator_labels(gpu.id, dialect)]


@pytest.mark.parametrize(("gpu", "dialect"), SPOKEN)
def test_the_labels_of_a_gpu_lead_back_to_it(gpu: str, dialect: str) -> None:
    assert gpu_from_labels(accelerator_labels(gpu, dialect)) == gpu


@pytest.mark.parametrize("machine", [m.id for m in catalog().machines() if m.gpu])
def test_the_labels_of_a_gpu_node_lead_back_to_its_gpu(machine: str) -> None:
    profile = node_profile(machine)
    assert gpu_from_labels(profile.labels) == profile.machine.gpu


@pytest.mark.parametrize("machine", [m.id for m in catalog().machines() if m.gpu])
def test_the_labels_that_select_a_gpu_are_on_the_nodes_that_have_it(
    machine: str,
) -> None:
    profile = node_profile(machine)
    wanted = node_selector(machine, profile.machine.gpu, profile.cloud)
    assert len(wanted) > 1
    assert wanted.items() <= dict(profile.labels).items()


def test_every_gpu_of_the_label_table_is_one_of_ours() -> None:
    assert accelerator_names().keys() <= {gpu.id for gpu in catalog().gpus()}


@pytest.mark.parametrize(
    ("labels", "gpu"),
    [
        ({"cloud.google.com/gke-accelerator": "nvidia-tesla-a100"}, "nvidia-a100-40gb"),
        (
            {"cloud.google.com/gke-accelerator": "nvidia-h100-mega-80gb"},
            "nvidia-h100-80gb",
        ),
        ({"nvidia.com/gpu.product": "NVIDIA-A100-80GB-PCIe"}, "nvidia-a100-80gb"),
        ({"nvidia.com/gpu.product": "Tesla-T4", "disk": "ssd"}, "nvidia-t4"),
        ({"karpenter.k8s.aws/instance-gpu-name": "l40s"}, "nvidia-l40s"),
        (
            {
                "karpenter.k8s.aws/instance-gpu-name": "a100",
                "node.kubernetes.io/instance-type": "p4de.24xlarge",
            },
            "nvidia-a100-80gb",
        ),
        ({"beta.kubernetes.io/instance-type": "g2-standard-8"}, "nvidia-l4"),
    ],
)
def test_selectors_that_people_write_are_understood(labels: dict[str, str], gpu: str) -> None:
    assert gpu_from_labels(labels) == gpu


@pytest.mark.parametrize(
    "labels",
    [
        {},
        {"disktype": "ssd"},
        {"node.kubernetes.io/instance-type": "c3-standard-8"},
        {"cloud.google.com/gke-accelerator": "nvidia-unheard-of"},
        {"karpenter.k8s.aws/instance-gpu-name": "a100"},
        {
            "cloud.google.com/gke-accelerator": "nvidia-l4",
            "node.kubernetes.io/instance-type": "a2-ultragpu-1g",
        },
    ],
    ids=[
        "none",
        "unrelated",
        "cpu machine",
        "unknown",
        "either a100",
        "contradiction",
    ],
)
def test_labels_that_name_no_one_gpu_are_not_guessed_at(labels: dict[str, str]) -> None:
    assert gpu_from_labels(labels) is None


def test_an_instance_type_tells_how_many_gpus_the_node_has() -> None:
    found = machine_from_labels({"node.kubernetes.io/instance-type": "g2-standard-24"})
    assert found is not None
    assert found.gpu_count == 2
    assert machine_from_labels({"node.kubernetes.io/instance-type": "unheard-of"}) is None


def test_the_two_a100_need_their_memory_to_be_told_apart() -> None:
    assert accelerator_labels("nvidia-a100-40gb", "aws") != accelerator_labels("nvidia-a100-80gb", "aws")


def test_a_gpu_that_a_cloud_does_not_sell_has_no_labels_there() -> None:
    assert accelerator_labels("nvidia-rtx-4090", "gcp") == {}


def test_an_unknown_dialect_or_gpu_is_refused() -> None:
    with pytest.raises(UnknownName, match="label dialect"):
        accelerator_labels("nvidia-l4", "azure")
    with pytest.raises(UnknownName, match="GPU"):
        accelerator_labels("nvidia-l5", "gcp")
