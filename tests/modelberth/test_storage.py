"""Where weights should lie: what is chosen, in which time it loads, why the others lose, and what is refused."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from modelberth.catalog import catalog
from modelberth.clouds.bucket_names import bucket_name_problem
from modelberth.clouds.places import Offers, Way, all_offers, offers
from modelberth.conflicts import conflicts
from modelberth.costs import bill
from modelberth.engines import ENGINES
from modelberth.engines.serving import BUCKET_VARIABLE
from modelberth.findings import Refused
from modelberth.host import claim_gib
from modelberth.lock import outgrown
from modelberth.observed import UNKNOWN
from modelberth.plan import Plan, plan, replay
from modelberth.spec import StackSpec
from modelberth.storage import Need, candidate, choose_storage, hindrances
from modelberth.units import GIB, MIB, ceil_to
from tests.modelberth.samples import EKS

GCP, AWS, ANY = offers("gcp", "made"), offers("aws", "made"), offers(None, "existing")
LLAMA_8B = "meta-llama/Llama-3.1-8B-Instruct"
GKE = {
    "kind": "gke",
    "gke": {
        "project": "my-project-1",
        "project_number": "123456789012",
        "region": "us-central1",
        "zones": ["us-central1-a"],
    },
}


def need(**fields: Any) -> Need:
    given = {"engine": "vllm", "engine_version": "0.33.0", "machine": "g2-standard-8", "gib": 16.0, **fields}
    machine, size = catalog().machine(given.pop("machine")), int(given.pop("gib") * GIB)
    return Need(machine=machine, stored_bytes=size, **given)


def way_of(asked: Need, has: Offers) -> Way | None:
    chosen = choose_storage(asked, has).chosen
    return chosen.way if chosen else None


def why_not(asked: Need, has: Offers, way: Way) -> str:
    return "; ".join(hindrances(asked, has, way))


def planned(target: dict[str, Any] = GKE, weights: dict[str, Any] | None = None, **service: Any) -> Plan:
    given = {"model": LLAMA_8B, "context": 4096, "concurrency": 4, "accelerators": ["nvidia-l4"], "weights": "w"}
    stack = StackSpec.model_validate(
        {"target": target, "weights": {"w": weights or {"kind": "auto"}}, "services": {"chat": given | service}}
    )
    return plan("chat", stack)


def refused(ask: Callable[[], object]) -> str:
    with pytest.raises(Refused) as caught:
        ask()
    return str(caught.value)


@pytest.mark.parametrize("has", [GCP, AWS], ids=["gcp", "aws"])
def test_an_engine_that_reads_buckets_streams_and_one_that_reads_files_is_shown_them(has: Offers) -> None:
    assert way_of(need(most_replicas=4), has) is Way.STREAM
    assert way_of(need(engine="tgi", engine_version="3.3.7", most_replicas=4), has) is Way.BUCKET
    assert "reads files, not buckets" in why_not(need(engine="tgi", engine_version="3.3.7"), has, Way.STREAM)


def test_what_an_image_holds_is_not_guessed() -> None:
    asked = need(engine="sglang", engine_version="0.5.23")
    assert "is not known (image: one of yours" in why_not(asked, GCP, Way.STREAM)
    assert why_not(replace(asked, own_image=True), GCP, Way.STREAM) == ""
    assert way_of(asked, GCP) is Way.BUCKET
    assert "from version 0.11.1 on" in why_not(need(engine_version="0.10.2"), GCP, Way.STREAM)


def test_adapters_and_drafts_are_files() -> None:
    assert way_of(need(beside=True), GCP) is Way.BUCKET
    assert "read as files" in why_not(need(beside=True), GCP, Way.STREAM)


def test_an_engine_with_a_store_of_its_own_gets_a_claim() -> None:
    asked = need(engine="ollama", engine_version="0.34.0", gib=4)
    assert "a bucket knows none" in why_not(asked, GCP, Way.BUCKET)
    assert way_of(asked, GCP) is Way.CLAIM


def test_on_a_cluster_of_which_nothing_is_known_one_replica_has_a_claim_and_several_download() -> None:
    assert way_of(need(), ANY) is Way.CLAIM
    assert way_of(need(most_replicas=2), ANY) is Way.HUB
    assert way_of(need(most_replicas=2, access_mode="ReadWriteMany"), ANY) is Way.CLAIM
    assert "is not known" in why_not(need(), ANY, Way.BUCKET)


@pytest.mark.parametrize("readers", [{"most_replicas": 2}, {"nodes": 2}])
def test_a_volume_of_one_node_is_refused_for_several(readers: dict[str, int]) -> None:
    assert "ReadWriteOnce is attached to one node, 2 may read it" in why_not(need(**readers), GCP, Way.CLAIM)


def test_a_claim_holds_both_revisions_and_a_smaller_one_is_refused() -> None:
    asked = need(outlives=True, size_gib=34)
    least = claim_gib(asked.stored_bytes)
    assert why_not(asked, ANY, Way.CLAIM) == f"34 GiB are less than the {least} GiB that two revisions need"
    assert why_not(replace(asked, size_gib=least), ANY, Way.CLAIM) == ""
    assert "size_gib is not stated" in why_not(replace(asked, size_gib=None), ANY, Way.CLAIM)


def test_on_a_cluster_of_a_cloud_that_exists_a_bucket_is_taken_only_where_somebody_asks_for_it() -> None:
    has = offers("gcp", "gke", found=True)
    assert way_of(need(), has) is Way.CLAIM
    losers = {loser.way: loser.hindrances for loser in choose_storage(need(), has).losers}
    assert "is not known: ask for it if it has" in losers[Way.BUCKET][0]
    asked = choose_storage(need(), has, Way.BUCKET).chosen
    assert asked is not None
    assert asked.way is Way.BUCKET


def test_a_store_that_shares_a_rate_divides_it_among_its_readers() -> None:
    disk = GCP.of(Way.READ_ONLY_DISK)
    assert disk is not None
    one, four = (candidate(need(most_replicas=count, machine="a3-highgpu-8g"), disk) for count in (1, 4))
    assert one.load_s is not None
    assert four.load_s is not None
    assert four.load_s[1] == pytest.approx(4 * one.load_s[1])


def test_the_time_to_load_is_bytes_over_the_slowest_of_source_network_and_disk() -> None:
    stream, hub = GCP.of(Way.STREAM), GCP.of(Way.HUB)
    assert stream is not None
    assert hub is not None
    found = candidate(need(gib=10), stream)
    assert found.load_s == tuple(pytest.approx(10 * 1024 / rate) for rate in (300, 1000, 16e9 / 8 / MIB))
    assert any(term.startswith("network: 1,907 MiB/s, 16 Gbit/s of g2-standard-8") for term in found.terms)
    assert candidate(need(gib=10), hub).load_s == tuple(
        pytest.approx(10 * 1024 / rate) for rate in (20, 60, 16e9 / 8 / MIB)
    )


def test_a_network_that_is_not_known_is_said_and_not_counted() -> None:
    found = choose_storage(need(machine="c3-standard-22"), GCP).chosen
    assert found is not None
    assert any("network: that of c3-standard-22 is not known" in term for term in found.terms)


def test_nothing_is_chosen_whose_rate_or_whose_making_is_not_known() -> None:
    choice = choose_storage(need(), GCP)
    losers = {loser.way: "; ".join(loser.hindrances) for loser in choice.losers}
    assert "how fast it is read is not known" in losers[Way.SHARED_FILES]
    assert "not set up from here" in losers[Way.READ_ONLY_DISK]
    assert all(other.offer.made and other.load_s for other in (choice.chosen, *choice.others) if other)


def test_a_hub_is_the_last_resort_and_only_where_a_node_can_hold_what_it_sends() -> None:
    every = [loser.way for loser in choose_storage(need(gib=140), GCP).losers]
    assert Way.HUB in every
    assert "of ephemeral storage, its share of a node is" in why_not(need(gib=140), GCP, Way.HUB)
    small = choose_storage(need(gib=1), GCP)
    assert small.others[-1].way is Way.HUB


def test_local_disks_that_are_too_small_or_not_known_are_said() -> None:
    assert "no local disks that are known" in why_not(need(), GCP, Way.LOCAL_DISK)
    asked = need(machine="a3-highgpu-1g", gib=900)
    assert "hold 750 GB, the weights are 900.00 GiB" in why_not(asked, GCP, Way.LOCAL_DISK)


def test_the_answer_does_not_depend_on_the_order_of_the_question() -> None:
    first = choose_storage(need(most_replicas=3), GCP).lines()
    shuffled = list(GCP.ways)
    random.Random(7).shuffle(shuffled)  # noqa: S311, an order and no secret
    assert choose_storage(need(most_replicas=3), replace(GCP, ways=tuple(shuffled))).lines() == first


def test_every_way_is_told_with_its_figures_or_its_reasons() -> None:
    for has in (GCP, AWS, ANY):
        told = "\n".join(choose_storage(need(most_replicas=2), has).lines())
        for way in Way:
            assert re.search(rf"[:,] {way}\b", told), way
        assert "cost: unknown, no price of it is known" in told or has is ANY


def test_a_price_is_that_of_the_region_and_unknown_elsewhere() -> None:
    found = choose_storage(need(gib=10, region="us-central1"), GCP).chosen
    assert found is not None
    assert found.usd_per_month == pytest.approx(20 * 0.02)
    assert "cost: 0.40 USD per month, 20 GiB at 0.02" in found.terms
    elsewhere = choose_storage(need(gib=10, region="africa-south1"), GCP).chosen
    assert elsewhere is not None
    assert elsewhere.usd_per_month is None
    assert "cost: unknown, no price of it in africa-south1 is known" in elsewhere.terms


def test_every_rate_has_a_range_around_what_is_counted_with() -> None:
    for offer in all_offers():
        rates = offer.rates(2048)
        assert rates is None or rates[0] <= rates[1] <= rates[2], offer.id


def test_a_plan_that_streams_starts_its_engine_so_and_budgets_the_slow_end() -> None:
    made = planned()
    assert made.decision.storage.model_dump(exclude_none=True) == {"kind": "stream", "store": "w"}
    folder = made.launch.fetch[0].folder
    assert made.launch.args[0] == f"gs://$(MODELBERTH_BUCKET)/{folder}"
    assert made.launch.args[1:3] == ("--load-format", "runai_streamer")
    assert "--revision" not in made.launch.args
    assert dict(made.launch.env)["HF_HUB_OFFLINE"] == "0"
    assert dict(made.launch.fetch[0].env)["LAYOUT"] == "bucket"
    assert made.stores is not None
    assert made.decision.startup_budget_s >= 2 * made.decision.load_s
    held = planned(weights={"kind": "claim", "size_gib": 40}).decision.host.memory_mib
    assert made.decision.host.memory_mib > held or made.decision.tensor_parallel == 1


def test_a_bucket_that_exists_is_named_in_its_clouds_spelling_with_its_folder() -> None:
    made = planned(EKS, {"kind": "stream", "bucket": "models-of-ours", "prefix": "llm"}, accelerators=["nvidia-l40s"])
    assert made.launch.args[0] == f"s3://models-of-ours/llm/{made.launch.fetch[0].folder}"
    filled = planned(weights={"kind": "stream", "bucket": "models-of-ours", "path": "llama"})
    assert filled.launch.args[0] == "gs://models-of-ours/llama"
    assert filled.launch.fetch == ()


def test_a_bucket_that_exists_is_noted_where_its_readers_would_have_to_use_a_key_that_nobody_named() -> None:
    theirs: dict[str, Any] = {"kind": "stream", "bucket": "models-of-ours"}

    def notes(target: dict[str, Any], weights: dict[str, Any]) -> list[str]:
        card = "nvidia-l4" if target is GKE else "nvidia-l40s"
        found = planned(target, weights, accelerators=[card]).findings
        return [f"{each.level.value} {each}" for each in found if each.code == "bucket-key"]

    (said,) = notes(EKS, theirs)
    assert said.startswith("note ")
    assert "weights.w.bucket: pods may read models-of-ours and use no key" in said
    assert "kms_key of the target" in said
    key = "arn:aws:kms:eu-central-1:123456789012:key/01234567-89ab-cdef-0123-456789abcdef"
    assert notes({**EKS, "eks": {**EKS["eks"], "kms_key": key}}, theirs) == []
    assert notes(EKS, {"kind": "stream"}) == []
    assert notes(GKE, theirs) == []


def test_a_bucket_shown_as_files_is_waited_for() -> None:
    made = planned(weights={"kind": "bucket"}, replicas=2)
    folder = made.launch.fetch[0].folder
    assert made.launch.args[0] == f"/weights/{folder}"
    assert f"/weights/{folder}/.complete" in made.launch.gate
    assert made.decision.storage.access_mode is None
    assert planned(weights={"kind": "claim", "size_gib": 40}).launch.gate == ""


def test_a_kind_that_was_asked_for_is_checked_like_any_other() -> None:
    said = refused(lambda: planned(weights={"kind": "stream"}, engine="tgi"))
    assert "services.chat.weights: kind stream: Text Generation Inference reads files, not buckets" in said
    assert "way out: kind: bucket, or auto" in said
    assert "existing has of it is not known" in refused(lambda: planned({"kind": "existing"}, {"kind": "bucket"}))


@pytest.mark.parametrize(
    ("name", "cloud", "problem"),
    [
        ("models-7", "gcp", ""),
        ("models-7", "aws", ""),
        ("m7", "gcp", "is no bucket's name"),
        ("m" * 64, "aws", "is no bucket's name"),
        ("Models", "aws", "is no bucket's name"),
        ("models-", "gcp", "is no bucket's name"),
        ("models.example.org", "aws", "has dots"),
        ("google-models", "gcp", "must not begin with goog"),
        ("google-models", "aws", ""),
        ("xn--models", "aws", "must not begin with xn--"),
        ("models-s3alias", "aws", "must not end with -s3alias"),
    ],
)
def test_names_of_buckets_are_those_that_a_cloud_takes(name: str, cloud: str, problem: str) -> None:
    assert bucket_name_problem(name, cloud).startswith(problem)
    assert bool(bucket_name_problem(name, cloud)) == bool(problem)


def test_a_bucket_with_an_impossible_name_is_refused_with_its_field() -> None:
    said = refused(lambda: planned(weights={"kind": "bucket", "bucket": "goog-models"}))
    assert "weights.w.bucket: goog-models must not begin with goog" in said


def test_a_volume_in_another_zone_than_the_pool_is_refused() -> None:
    pool = {"accelerators": ["nvidia-l4"], "machine_types": ["g2-standard-24"], "max_nodes": 2}
    stack = {
        "target": {"kind": "existing"},
        "pools": {"l4": {**pool, "zones": ["us-central1-a", "us-central1-b"]}},
        "weights": {"w": {"kind": "existing-claim", "claim": "data", "path": "llama", "zones": ["us-central1-a"]}},
        "services": {"chat": {"model": LLAMA_8B, "context": 4096, "concurrency": 4, "weights": "w"}},
    }
    said = refused(lambda: plan("chat", StackSpec.model_validate(stack)))
    assert "weights.w.zones: its volume is attached in us-central1-a, pool l4 is also in us-central1-b" in said
    stack["pools"] = {"l4": {**pool, "zones": ["us-central1-a"]}}
    assert plan("chat", StackSpec.model_validate(stack)).decision.storage.kind == "existing-claim"


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ({"kind": "hub", "bucket": "models"}, "bucket and prefix belong to"),
        ({"kind": "bucket", "path": "llama"}, "path belongs to kind existing-claim, or to a bucket that exists"),
        ({"kind": "bucket", "size_gib": 10}, "size_gib belongs to kind claim or auto"),
        ({"kind": "stream", "allow_pickle": True}, "allow_pickle belongs to kind claim"),
        ({"kind": "bucket", "claim": "data"}, "claim and zones belong to kind existing-claim only"),
    ],
)
def test_fields_belong_to_their_kinds(weights: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        planned(weights=weights)


def test_a_store_that_services_would_have_differently_is_refused() -> None:
    service = {"model": LLAMA_8B, "context": 4096, "concurrency": 4, "accelerators": ["nvidia-l4"], "weights": "w"}
    services = {"fast": service, "plain": {**service, "engine": "tgi"}}
    stack = StackSpec.model_validate({"target": GKE, "weights": {"w": {"kind": "auto"}}, "services": services})
    found = list(conflicts(stack, [plan(name, stack) for name in services]))
    assert [finding.path for finding in found] == ["weights.w.kind"]
    assert "different kinds of it (fast stream, plain bucket)" in found[0].message


def test_a_bucket_that_is_made_is_on_the_bill_with_both_revisions() -> None:
    made = planned()
    stack = StackSpec.model_validate(
        {"target": GKE, "weights": {"w": {"kind": "auto"}}, "services": {"chat": made.spec.model_dump()}}
    )
    found = {cost.component: cost for cost in bill(stack, [made], ()).costs}
    size = ceil_to(2 * made.decision.source.stored_bytes / GIB, 1)
    assert found[f"weights w: bucket, {size} GiB"].usd_per_month == pytest.approx(size * 0.02)


def test_a_bucket_that_exists_costs_what_is_added_to_it_and_nothing_where_the_model_is_there_already() -> None:
    costs: dict[str, list[str]] = {}
    for name, weights in (
        ("added", {"kind": "bucket", "bucket": "theirs-of-old"}),
        ("there", {"kind": "bucket", "bucket": "theirs-of-old", "path": "llama"}),
    ):
        made = planned(weights=weights)
        stack = StackSpec.model_validate(
            {"target": GKE, "weights": {"w": weights}, "services": {"chat": made.spec.model_dump()}}
        )
        costs[name] = [each.component for each in bill(stack, [made], ()).costs if "weights" in each.component]
        chosen = made.stores and made.stores.chosen
        assert chosen is not None
        assert ("twice, both revisions" in " ".join(chosen.terms)) == (name == "added")
        assert bool(chosen.usd_per_month) == (name == "added")
    assert costs == {"added": ["weights w: what is added to bucket theirs-of-old, 30 GiB"], "there": []}


@pytest.mark.parametrize("later", [True, False])
@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_a_rule_reads_the_model_of_a_bucket_whose_name_is_only_known_later(engine: str, later: bool) -> None:
    own = {"image": "registry.example.org/sglang:v0.5.23"} if engine == "sglang" else {}
    made = planned(weights={"kind": "stream"}, engine=engine, **own)
    named = {"name": BUCKET_VARIABLE, "value": UNKNOWN if later else "a--bucket"}
    launch = made.launch
    container = {"image": launch.image, "command": list(launch.command), "args": list(launch.args), "env": [named]}
    seen = ENGINES[engine].read({key: value for key, value in container.items() if value})
    assert seen is not None
    assert (seen.model, seen.context) == (LLAMA_8B, 4096)
    assert seen.undecided == ()


def test_what_auto_came_to_is_held_by_the_lock() -> None:
    made = planned()
    stack = StackSpec.model_validate(
        {
            "target": GKE,
            "weights": {"w": {"kind": "auto"}},
            "services": {
                "chat": {
                    "model": LLAMA_8B,
                    "context": 4096,
                    "concurrency": 4,
                    "accelerators": ["nvidia-l4"],
                    "weights": "w",
                }
            },
        }
    )
    again = replay("chat", stack, made.decision)
    assert (again.decision, again.launch) == (made.decision, made.launch)
    assert outgrown("chat", stack, made.decision) == ()


def test_a_claim_that_auto_came_to_is_outgrown_by_a_second_replica() -> None:
    weights = {"kind": "auto", "size_gib": 40}
    made = planned({"kind": "existing"}, weights)
    assert made.decision.storage.kind == "claim"
    stack = StackSpec.model_validate(
        {
            "target": {"kind": "existing"},
            "weights": {"w": weights},
            "services": {"chat": {"model": LLAMA_8B, "context": 4096, "concurrency": 4, "weights": "w", "replicas": 2}},
        }
    )
    assert "a ReadWriteOnce claim is locked, for 2 replicas" in outgrown("chat", stack, made.decision)
