"""What is sold where: the zones, the ways, the quota, and what is said of a wish that cannot come true."""

import pytest

from modelberth.catalog import catalog
from modelberth.errors import UnknownName
from modelberth.findings import Level
from modelberth.names import Capacity
from modelberth.supply import quota_needed, region_of, sales, sold, supply_findings, table, zones_of

RESERVATION, ON_DEMAND, FLEX_START, SPOT = Capacity


def said(machine, zones, *args, **kwargs) -> list[tuple[str, str, str, str]]:
    named = {zone: f"pools.gpu.zones[{number}]" for number, zone in enumerate(zones)}
    findings = supply_findings("pools.gpu", machine, named, *args, **kwargs)
    return [(f.level.value, f.path, f.message, f.remedy) for f in findings]


def test_zones_of_a_region_are_known_empty_or_unknown() -> None:
    assert zones_of("a3-highgpu-8g", "us-central1") == ("us-central1-a", "us-central1-b", "us-central1-c")
    assert zones_of("a3-highgpu-8g", "us-south1") == ()
    assert zones_of("a4x-highgpu-4g", "us-central1") is None


def test_a_list_that_was_read_in_part_says_nothing_of_the_regions_it_lacks() -> None:
    assert zones_of("g5.xlarge", "us-east-1")
    assert zones_of("g5.xlarge", "us-gov-west-1") is None


def test_what_cannot_be_had_in_a_way_is_told_from_what_nobody_states() -> None:
    assert sold("a4-highgpu-8g", SPOT) is True
    assert sold("a4-highgpu-8g", ON_DEMAND) is False
    assert sold("p5e.48xlarge", ON_DEMAND) is None


@pytest.mark.parametrize("ask", [lambda name: zones_of(name, "us-central1"), lambda name: sold(name, SPOT), sales])
def test_an_unknown_machine_type_is_answered_with_one_that_is_spelled_alike(ask) -> None:
    with pytest.raises(UnknownName, match="did you mean 'g2-standard-8'"):
        ask("g2-standad-8")


@pytest.mark.parametrize(
    ("zone", "region"),
    [
        ("us-central1-a", "us-central1"),
        ("us-central1-ai1a", "us-central1"),
        ("us-east-1a", "us-east-1"),
        ("us-gov-west-1b", "us-gov-west-1"),
        ("us-east-1-atl-2a", "us-east-1"),
        ("use1-az2", "us-east-1"),
        ("apne1-az4", "ap-northeast-1"),
        ("xxx9-az1", None),
        ("us-central1", None),
        ("us-east-1", None),
        ("Europe-West4-A", None),
        ("somewhere", None),
        ("", None),
    ],
)
def test_a_zone_tells_its_region_whichever_cloud_named_it(zone: str, region: str | None) -> None:
    assert region_of(zone) == region


def test_every_zone_of_the_catalog_belongs_to_the_region_it_stands_under() -> None:
    wrong = {zone: region for region, zones in catalog().zones().items() for zone in zones if region_of(zone) != region}
    assert wrong == {}


def test_a_wish_that_can_come_true_is_not_commented() -> None:
    assert said("g2-standard-8", ["us-central1-a", "us-central1-b"], [ON_DEMAND, SPOT], region="us-central1") == []
    assert said("p5.48xlarge", ["us-east-2a"], ON_DEMAND, region="us-east-2") == []


def test_an_unknown_machine_type_is_one_error_and_nothing_else() -> None:
    (found,) = said("g2-standad-8", ["nowhere"], FLEX_START)
    assert found[:2] == ("error", "pools.gpu.machine_type")
    assert "did you mean 'g2-standard-8'" in found[2]


def test_a_zone_without_the_machine_names_those_of_its_region_and_what_else_has_the_gpu_there() -> None:
    (found,) = said("a2-ultragpu-1g", ["us-central1-b", "us-central1-c"], ON_DEMAND)
    assert found[:2] == ("error", "pools.gpu.zones[0]")
    assert found[2] == "us-central1-b does not sell a2-ultragpu-1g (list of 2026-11-28)"
    assert found[3] == "the zones of us-central1 with it: us-central1-a, us-central1-c"
    (found,) = said("a3-megagpu-8g", ["asia-south1-c"], ON_DEMAND)
    assert found[3].startswith("regions with it: asia-east1, asia-northeast1, ")
    assert "with the same accelerator in asia-south1-c: a3-highgpu-1g, a3-highgpu-2g" in found[3]


def test_a_zone_of_another_region_is_an_error_that_names_zones_of_the_right_one() -> None:
    assert said("g2-standard-8", ["europe-west4-a"], SPOT, region="us-east4") == [
        (
            "error",
            "pools.gpu.zones[0]",
            "europe-west4-a is in europe-west4, not in us-east4",
            "a zone of us-east4 that sells g2-standard-8: us-east4-a, us-east4-c",
        )
    ]


def test_a_region_in_place_of_a_zone_is_told_with_the_zones_that_sell_the_machine() -> None:
    (found,) = said("g2-standard-8", ["us-east4"], SPOT)
    assert found[2:] == ("us-east4 is a region, not a zone", "a zone of it: us-east4-a, us-east4-c")


@pytest.mark.parametrize("zone", ["us-central1_a", "US-CENTRAL1-A", "us-central1-1", "us-east-1a"])
def test_what_is_no_zone_of_the_cloud_is_an_error_with_a_zone_that_is(zone: str) -> None:
    (found,) = said("g2-standard-8", [zone], SPOT)
    assert found[:3] == (
        "error",
        "pools.gpu.zones[0]",
        f"{zone!r} is no name of a zone where g2-standard-8 is sold",
    )
    assert "us-" in found[3]


def test_a_region_that_is_misspelled_is_answered_with_the_one_that_was_meant() -> None:
    (found,) = said("g2-standard-8", ["us-centrl1-a"], SPOT)
    assert found[3].startswith("did you mean us-central1? regions with it: ")


def test_a_zone_that_the_account_names_itself_is_a_note_where_not_every_zone_sells_the_machine() -> None:
    (found,) = said("g6e.xlarge", ["us-east-1a"], SPOT)
    assert found[0] == "note"
    assert (
        "sold in use1-az1, use1-az2, use1-az4, use1-az6; which of them us-east-1a is, the account decides" in found[2]
    )
    (found,) = said("g6e.xlarge", ["use1-az3"], SPOT)
    assert found[0] == "error"


def test_several_zones_that_the_account_names_itself_are_one_note() -> None:
    (found,) = said("g6e.xlarge", ["us-east-1a", "us-east-1b"], SPOT)
    assert found[:2] == ("note", "pools.gpu.zones")
    assert "which of them us-east-1a and us-east-1b are, the account decides" in found[2]


def test_a_region_that_does_not_sell_the_machine_is_an_error_whatever_the_account_calls_its_zones() -> None:
    (found,) = said("p6-b200.48xlarge", ["eu-central-1a"], SPOT)
    assert found[0] == "error"
    assert found[3] == "regions with it: us-east-1, us-east-2, us-west-2"


def test_an_old_list_warns_where_a_new_one_stops() -> None:
    assert said("g5.xlarge", ["us-gov-west-1a"], SPOT)[0][0] == "warning"
    assert said("g6e.xlarge", ["us-gov-west-1a"], SPOT)[0][0] == "error"


def test_a_machine_of_which_nothing_is_known_is_a_warning_and_never_an_error() -> None:
    found = said("g7.2xlarge", ["us-east-1a"], SPOT)
    assert [each[:2] for each in found] == [("warning", "pools.gpu.zones"), ("warning", "pools.gpu.capacity")]
    assert said("c4-standard-8", [], ON_DEMAND) == []


def test_a_way_that_is_not_sold_names_the_ways_that_are() -> None:
    assert said("a4-highgpu-8g", ["us-central1-b"], [RESERVATION, ON_DEMAND]) == [
        (
            "error",
            "pools.gpu.capacity[1]",
            "a4-highgpu-8g cannot be had as on-demand",
            "ways to have it: reservation, flex-start, spot",
        )
    ]
    assert said("g6.xlarge", [], FLEX_START)[0][1:3] == ("pools.gpu.capacity", "g6.xlarge cannot be had as flex-start")


def test_all_problems_are_told_at_once() -> None:
    found = said("a4-highgpu-8g", ["us-central1-a", "nowhere"], ON_DEMAND)
    assert [each[1] for each in found] == ["pools.gpu.zones[0]", "pools.gpu.zones[1]", "pools.gpu.capacity"]
    assert {each[0] for each in found} == {Level.ERROR}


def test_quota_is_counted_in_what_the_cloud_counts() -> None:
    gpus = quota_needed("g2-standard-24", 3, ON_DEMAND)
    assert gpus is not None
    assert [(q.name, q.amount, q.unit, q.regional) for q in gpus] == [
        ("NVIDIA_L4_GPUS", 6, "gpus", True),
        ("GPUS_ALL_REGIONS", 6, "gpus", False),
    ]
    cores = quota_needed("g6.xlarge", 4, ON_DEMAND)
    assert cores is not None
    assert [(q.name, q.code, q.amount, q.unit) for q in cores] == [
        ("Running On-Demand G and VT instances", "L-DB2E81BA", 4 * catalog().machine("g6.xlarge").vcpu, "vcpus")
    ]


def test_spot_and_flex_start_count_against_a_quota_of_their_own() -> None:
    names = {way: [q.name for q in quota_needed("a3-highgpu-8g", 1, way) or ()] for way in Capacity}
    assert names[SPOT] == names[FLEX_START] == ["PREEMPTIBLE_NVIDIA_H100_GPUS"]
    assert names[ON_DEMAND] == ["GPUS_PER_GPU_FAMILY (gpu_family: NVIDIA_H100)", "GPUS_ALL_REGIONS"]


def test_reserved_machines_need_no_more_quota_and_what_is_not_known_is_not_called_none() -> None:
    assert quota_needed("p5.48xlarge", 2, RESERVATION) == ()
    assert quota_needed("p6-b200.48xlarge", 2, SPOT) is None
    assert quota_needed("a4x-highgpu-4g", 2, ON_DEMAND) is None


def test_every_gpu_machine_sold_on_demand_has_a_quota_that_is_known() -> None:
    silent = [
        m.id for m in catalog().machines() if m.gpu and sold(m.id, ON_DEMAND) and not quota_needed(m.id, 1, ON_DEMAND)
    ]
    assert silent == []


def test_every_quota_counts_something_of_every_machine_it_covers() -> None:
    for machine in catalog().machines():
        for way in Capacity:
            assert all(need.amount > 0 for need in quota_needed(machine.id, 1, way) or ()), machine.id


def test_the_table_says_where_and_how_and_unknown_where_nobody_tells() -> None:
    lines = table(["a3-ultragpu-8g", "a4x-highgpu-4g"], region="us-central1")
    assert [line.split() for line in lines] == [
        ["machine", "type", "region", "zones", "ways"],
        ["a3-ultragpu-8g", "us-central1", "us-central1-b", "reservation,", "flex-start,", "spot"],
        ["a4x-highgpu-4g", "unknown", "unknown", "reservation"],
    ]
    assert {sale.region for sale in sales("a3-ultragpu-8g")} > {"us-central1", "europe-west4"}
