"""What is sold where and in which ways, and the prices of other regions and of what is no machine."""

import re
from datetime import date
from pathlib import Path

import pytest

from modelberth.catalog import Catalog, CatalogError, Item, Machine, catalog
from modelberth.names import Capacity

NEWEST_FACT = date(2026, 11, 28)
REGIONS = {
    "gcp": {"us-central1", "us-east4", "us-east5", "europe-west4", "asia-southeast1"},
    "aws": {"us-east-1", "us-east-2", "us-west-2", "eu-central-1", "ap-northeast-1"},
}
ZONES = {
    "gcp": r"{region}-[a-z]",
    "aws": r"[a-z]{{2,4}}[nsewc]{{1,2}}\d-az\d",
}
UNKNOWN_WHERE = {  # GPU machines that no list read here names
    "a4x-highgpu-4g",
    "g6f.2xlarge",
    "g6f.4xlarge",
    "g7.2xlarge",
    "g7.4xlarge",
    "g7.8xlarge",
    "g7.12xlarge",
    "g7.24xlarge",
    "g7.48xlarge",
}
NO_DATED_PRICE = {
    ("gcp", Item.SHARED_DISK),
    ("gcp", Item.SHARED_DISK_THROUGHPUT),
    ("gcp", Item.PARALLEL_FILES),
    ("gcp", Item.SHARED_FILES),
    ("gcp", Item.NAT),
    ("gcp", Item.NAT_TRAFFIC),
}


@pytest.fixture(scope="module")
def rows() -> Catalog:
    return catalog()


def offered(rows: Catalog) -> list[Machine]:
    return [machine for machine in rows.machines() if rows.offer(machine.id)]


def test_the_zones_of_every_gpu_machine_are_known_but_of_those_that_no_list_names(rows: Catalog) -> None:
    silent = {m.id for m in rows.machines() if (m.gpu or m.gpu_slice) and rows.offer(m.id) is None}
    assert silent == UNKNOWN_WHERE


def test_offers_and_ways_are_of_machines_we_know(rows: Catalog) -> None:
    known = {machine.id for machine in rows.machines()}
    assert set(rows._offers) <= known
    assert set(rows._ways) == known


def test_every_zone_is_named_as_its_cloud_does_and_belongs_to_the_region_it_stands_under(rows: Catalog) -> None:
    for machine in offered(rows):
        offer = rows.offer(machine.id)
        assert offer is not None
        for region, zones in offer.zones.items():
            assert zones, (machine.id, region)
            assert len(set(zones)) == len(zones), (machine.id, region)
            pattern = ZONES[machine.cloud].format(region=region)
            assert [zone for zone in zones if not re.fullmatch(pattern, zone)] == [], (machine.id, region)


def test_ids_of_zones_begin_alike_in_one_region_and_differently_in_two(rows: Catalog) -> None:
    beginnings = {region: {zone.partition("-az")[0] for zone in zones} for region, zones in rows.zones().items()}
    ids = {region: found for region, found in beginnings.items() if re.fullmatch(r"[a-z-]+-\d", region)}
    assert {region: found for region, found in ids.items() if len(found) != 1} == {}
    assert len({found.copy().pop() for found in ids.values()}) == len(ids)


def test_offers_and_prices_agree_on_the_regions_of_gpu_machines(rows: Catalog) -> None:
    def priced_where_it_is_not_sold(machine: Machine) -> list[str]:
        offer = rows.offer(machine.id)
        if not machine.gpu or offer is None or not offer.exhaustive:
            return []
        return [r for r in REGIONS[machine.cloud] if rows.price(machine.id, region=r) and r not in offer.zones]

    found = {machine.id: regions for machine in rows.machines() if (regions := priced_where_it_is_not_sold(machine))}
    assert found == {"p6-b300.48xlarge": ["us-east-1"]}  # one list has its price there, the other no zone


def test_a_way_that_has_a_price_is_not_called_impossible(rows: Catalog) -> None:
    on_demand = {m.id for m in rows.machines() if rows.price(m.id)}
    impossible = {m.id for m in rows.machines() if Capacity.ON_DEMAND in getattr(rows.ways(m.id), "not_sold", ())}
    small = {"a3-highgpu-1g", "a3-highgpu-2g", "a3-highgpu-4g"}  # priced on demand, and only sold otherwise
    assert on_demand & impossible == small
    spot = {m.id for m in rows.machines() if rows.price(m.id, "spot")}
    assert [name for name in spot if Capacity.SPOT in getattr(rows.ways(name), "not_sold", ())] == []


def test_the_price_of_the_usual_region_is_the_same_with_and_without_its_name(rows: Catalog) -> None:
    for price in rows.prices():
        assert rows.price(price.machine, price.capacity) == price
        assert rows.price(price.machine, price.capacity, region=price.region) == price


def test_a_price_with_a_region_is_of_this_region_and_of_no_other(rows: Catalog) -> None:
    here, there = rows.price("g2-standard-8"), rows.price("g2-standard-8", region="europe-west4")
    assert here is not None
    assert there is not None
    assert (here.region, there.region) == ("us-central1", "europe-west4")
    assert there.usd_per_hour > here.usd_per_hour
    assert rows.price("g2-standard-8", region="mars-north1") is None
    assert rows.price("g6e.xlarge", "spot", region="us-west-2") is None


def test_regional_prices_are_of_machines_we_know_and_never_of_their_usual_region(rows: Catalog) -> None:
    for row in rows.regional_prices():
        machine, usual = rows.machine(row.machine), rows.price(row.machine, row.capacity)
        assert set(row.usd_per_hour) <= REGIONS[machine.cloud], row.machine
        assert usual is None or usual.region not in row.usd_per_hour, row.machine


def test_prices_of_two_regions_are_of_the_same_order(rows: Catalog) -> None:
    for row in rows.regional_prices():
        usual = rows.price(row.machine, row.capacity)
        if usual is None:
            continue
        low, high = (0.2, 3.0) if row.capacity is Capacity.SPOT else (0.9, 1.5)
        ratios = {region: usd / usual.usd_per_hour for region, usd in row.usd_per_hour.items()}
        assert {r: x for r, x in ratios.items() if not low <= x <= high} == {}, (row.machine, row.capacity)


def test_spot_is_never_dearer_than_on_demand_in_any_region(rows: Catalog) -> None:
    for row in rows.regional_prices():
        full = {region: rows.price(row.machine, region=region) for region in row.usd_per_hour}
        if row.capacity is Capacity.SPOT:
            assert [r for r, each in full.items() if each and row.usd_per_hour[r] > each.usd_per_hour] == [], (
                row.machine
            )


def test_a_commitment_costs_less_than_on_demand_and_a_longer_one_less_than_a_shorter(rows: Catalog) -> None:
    assert {row.years for row in rows.commitments()} == {1, 3}
    for row in rows.commitments():
        longer = rows.commitment(row.machine, 3)
        for region, usd in row.usd_per_hour.items():
            full = rows.price(row.machine, region=region)
            assert full is None or usd < full.usd_per_hour, (row.machine, region)
            if row.years == 1 and longer and region in longer.usd_per_hour:
                assert longer.usd_per_hour[region] < usd, (row.machine, region)


def test_what_has_no_dated_price_is_unknown_and_not_free(rows: Catalog) -> None:
    unpriced = {(r.cloud, r.item) for r in rows.rates() if r.usd_anywhere is None and not r.usd_by_region}
    assert unpriced == NO_DATED_PRICE
    disk = rows.rate("gcp", "shared-disk")
    assert disk is not None
    assert disk.usd("us-central1") is None


def test_a_cluster_costs_the_same_everywhere_and_a_disk_does_not(rows: Catalog) -> None:
    for cloud, regions in REGIONS.items():
        cluster, disk = rows.rate(cloud, "cluster"), rows.rate(cloud, "boot-disk")
        assert cluster is not None
        assert disk is not None
        assert {cluster.usd(region) for region in regions} == {cluster.usd_anywhere}
        assert disk.usd_by_region
    assert rows.rate("gcp", "cluster-extended") is None


def test_no_fact_about_supply_is_dated_after_the_newest_one_we_know_of(rows: Catalog) -> None:
    dated = [*rows._offers.values(), *rows._ways.values(), *rows.regional_prices(), *rows.commitments(), *rows.rates()]
    assert [row for row in dated if row.as_of > NEWEST_FACT] == []


def test_a_machine_type_in_two_rows_is_refused(tmp_path: Path) -> None:
    (tmp_path / "zones").mkdir()
    row = "  - {machines: [tiny], zones: {here: [here-a]}, source: test}\n"
    (tmp_path / "zones" / "acme.yaml").write_text(f"shared:\n  as_of: 2026-01-01\nrows:\n{row}{row}")
    with pytest.raises(CatalogError, match="two Offer rows for 'tiny'"):
        Catalog(tmp_path).offer("tiny")


def test_a_way_cannot_be_possible_and_impossible_at_once(tmp_path: Path) -> None:
    (tmp_path / "ways").mkdir()
    row = "  - {machines: [tiny], sold: [spot], not_sold: [spot], source: test}\n"
    (tmp_path / "ways" / "acme.yaml").write_text(f"shared:\n  as_of: 2026-01-01\nrows:\n{row}")
    with pytest.raises(CatalogError, match="sold and not sold: spot"):
        Catalog(tmp_path).ways("tiny")


def test_a_catalog_without_these_files_knows_nothing_and_fails_nowhere(tmp_path: Path) -> None:
    empty = Catalog(tmp_path)
    assert empty.offer("tiny") is None
    assert empty.ways("tiny") is None
    assert empty.zones() == {}
    assert empty.price("tiny", region="here") is None
