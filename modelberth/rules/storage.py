"""Buckets, volumes and file systems that hold weights: who is kept out, and what survives a mistake."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from modelberth.clouds import storage
from modelberth.clouds.buckets import CLOSED, KEPT, OWN_KEY, PRIVATE, RECOVERABLE, TIDY, TLS, UNIFORM, Part
from modelberth.clouds.facts import Fact
from modelberth.findings import Finding, Level
from modelberth.inventory import Inventory
from modelberth.resources import Pod, Resource
from modelberth.rules.base import ALWAYS, Rule, Settings, Severity, Threshold, advice
from modelberth.rules.buckets import Bucket, buckets, named_as_weights
from modelberth.rules.facts import as_advice, told
from modelberth.rules.validity import beside_what_clouds_take

_OWN_KEYS = Threshold("own_keys", False, "Whether what is stored has to be encrypted with a key of yours.")
_ADVICE_ALWAYS = frozenset({TLS, TIDY})
"""Clients of clouds encrypt unasked, and what uploads leave behind only costs."""


def _guarded_topics(settings: Settings) -> tuple[str, ...]:
    return (CLOSED, UNIFORM, RECOVERABLE, TLS, *((OWN_KEY,) if settings["own_keys"] else ()))


def _guarded(resource: Resource, settings: Settings) -> Iterator[Finding]:
    """What lets everyone in, whatever the bucket is for; and what a bucket that is named so says about itself."""
    opened = storage.opened(resource.type, resource.node)
    yield from told("CS-07", [fact for fact in opened if fact.holds is False or fact.topic == CLOSED])
    yield from told("CS-07", _said_alone(resource, _guarded_topics(settings)))


def _guarded_together(inventory: Inventory, settings: Settings) -> Iterator[tuple[Resource, Finding]]:
    there = list(buckets(inventory))
    for bucket in there:
        yield from _about(bucket, "CS-07", _guarded_topics(settings))
        closed = bucket.settled(CLOSED)
        if not (bucket.closed_elsewhere or (closed and closed[1].holds)):
            own = Part(bucket.resource.node, storage.opened(bucket.resource.type, bucket.resource.node))
            yield from _doubts([(bucket.resource, own), *bucket.parts])
    inside = {by for bucket in there for by, _ in bucket.parts}
    parts = ((each, storage.part(each.type, each.node)) for each in inventory.resources if each not in inside)
    outside = [(each, part) for each, part in parts if part]
    yield from ((by, advice(finding)) for by, finding in _doubts(outside))


def _doubts(parts: Iterable[tuple[Resource, Part]]) -> Iterator[tuple[Resource, Finding]]:
    """Grants that are not known yet matter where the bucket itself would not refuse everyone.

    A member that is computed from another resource is an account that the program makes: everyone is a constant.
    """
    for by, part in parts:
        unknown = [fact for fact in part.facts if fact.topic == PRIVATE and fact.holds is None]
        computed = part.members and (by.property_dependencies.get("member") or by.property_dependencies.get("members"))
        if not computed:
            yield from ((by, finding) for finding in told("CS-07", unknown))


def _kept(resource: Resource, settings: Settings) -> Iterator[Finding]:
    yield from told("CS-08", _said_alone(resource, (KEPT, TIDY)))
    if resource.type in storage.BUCKETS and named_as_weights(resource):
        yield from _retained(resource)


def _kept_together(inventory: Inventory, settings: Settings) -> Iterator[tuple[Resource, Finding]]:
    for bucket in buckets(inventory):
        if bucket.holds_weights:
            yield from _about(bucket, "CS-08", (KEPT, TIDY))
            if not named_as_weights(bucket.resource):
                yield from ((bucket.resource, finding) for finding in _retained(bucket.resource))
    yield from _claims(inventory)


def _retained(resource: Resource) -> Iterator[Finding]:
    """Options of a program; a pack cannot see whether what is removed from it is kept."""
    options = resource.options
    if not resource.from_program:
        return
    if options.protect is False:
        message = "one `destroy`, or a change that replaces it, deletes the weights"
        yield Finding("CS-08", "options.protect", message, "the resource option protect: true")
    if options.retain_on_delete is False:
        message = "what is removed from the program is deleted in the cloud, and the weights with it"
        yield Finding("CS-08", "options.retainOnDelete", message, "the resource option retainOnDelete: true")


def _claims(inventory: Inventory) -> Iterator[tuple[Resource, Finding]]:
    """Claims that pods serve from and that nothing in the stack fills: nothing downloads again what is lost."""
    served = {key for pod in inventory.pods if pod.serves for key, _ in _mounted(pod)}
    filled = {key for pod in inventory.pods for key, writes in _mounted(pod) if writes}
    for claim in inventory.of_kind("PersistentVolumeClaim"):
        key = (claim.namespace.text(), claim.object_name.text())
        lost = claim.options.protect is False and not _of_kept_volume(claim, inventory)
        if key[1] and key in served - filled and claim.from_program and lost:
            message = "nothing in this stack fills the volume again when it is deleted"
            remedy = "the resource options protect: true and retainOnDelete: true"
            yield claim, Finding("CS-08", "options.protect", message, remedy, Level.WARNING)


def _of_kept_volume(claim: Resource, inventory: Inventory) -> bool:
    """Whether the claim names a volume of the stack that stays when the claim goes: a bucket shown as files."""
    name = claim.node["spec"]["volumeName"].text()
    return bool(name) and any(
        volume.object_name.text() == name and volume.node["spec"]["persistentVolumeReclaimPolicy"].text() == "Retain"
        for volume in inventory.of_kind("PersistentVolume")
    )


def _mounted(pod: Pod) -> Iterator[tuple[tuple[str, str], bool]]:
    """The claims that pods mount, each with whether a container may write to it."""
    for volume in pod.spec["volumes"].elements():
        claim, name = volume["persistentVolumeClaim"], volume["name"].text()
        read_only = claim["readOnly"].flag() is True
        mounts = [each for of in pod.all_containers for each in of["volumeMounts"].elements()]
        own = [each for each in mounts if each["name"].text() == name]
        writes = not read_only and any(each["readOnly"].flag() is not True for each in own)
        yield (pod.resource.namespace.text(), claim["claimName"].text()), writes


def _said_alone(resource: Resource, topics: Iterable[str]) -> list[Fact]:
    """What a bucket that is named so says about itself and no other resource can say."""
    if resource.type not in storage.BUCKETS or not named_as_weights(resource):
        return []
    alone = set(topics) & storage.SAID_ALONE[resource.type]
    facts = [fact for fact in storage.bucket(resource.type, resource.node) if fact.topic in alone]
    return [as_advice(fact) if fact.topic in _ADVICE_ALWAYS else fact for fact in facts]


def _about(bucket: Bucket, rule_id: str, topics: Iterable[str]) -> Iterator[tuple[Resource, Finding]]:
    """What is not said by the bucket alone, or by one that does not show alone what it holds."""
    shown = storage.SAID_ALONE[bucket.resource.type] if named_as_weights(bucket.resource) else frozenset[str]()
    for topic in topics:
        settled = bucket.settled(topic)
        if settled is None or topic in shown or (topic == CLOSED and bucket.closed_elsewhere):
            continue
        by, fact = settled
        if topic == CLOSED and by is not bucket.resource:
            continue
        minor = not bucket.holds_weights or topic in _ADVICE_ALWAYS
        yield from ((by, finding) for finding in told(rule_id, [replace(fact, minor=minor)]))


def _encrypted(resource: Resource, settings: Settings) -> Iterable[Finding]:
    facts = storage.encrypted(resource.type, resource.node)
    optional = "it is encrypted with a key of yours"
    return told("CS-17", [fact for fact in facts if settings["own_keys"] or fact.topic != optional])


GUARDED = Rule(
    id="CS-07",
    name="weights-bucket-guarded",
    title="Buckets keep the public out, and those with weights keep what they hold",
    question="whether buckets keep the public out",
    why="Weights in a public bucket are given away, and weights that anyone may replace run as code.",
    remediation="Block public access for every bucket; uniform access and versions for those that hold weights.",
    severity=Severity.CRITICAL,
    levels=ALWAYS,
    source="CKV_GCP_28, _29, _78 and _114, CKV2_AWS_6, CKV_AWS_20, _21, _53 to _57 and _145 of checkov",
    check=beside_what_clouds_take("CS-07", _guarded),
    across=_guarded_together,
    thresholds=(_OWN_KEYS,),
)
KEPT_SAFE = Rule(
    id="CS-08",
    name="weights-survive-a-mistake",
    title="Weights survive a mistake",
    question="whether weights survive a mistake",
    why="Deleting or replacing a bucket takes hours of downloads with it, or what nobody can download again.",
    remediation="The resource options protect and retainOnDelete, forceDestroy false, a rule for broken uploads.",
    severity=Severity.HIGH,
    levels=ALWAYS,
    source="Pulumi, resource options protect and retainOnDelete; forceDestroy of buckets; CKV_AWS_300 of checkov",
    check=_kept,
    across=_kept_together,
)
ENCRYPTED = Rule(
    id="CS-17",
    name="volumes-encrypted",
    title="Disks and file systems are encrypted",
    question="whether disks and file systems are encrypted",
    why="A disk that is not encrypted is readable by whoever gets a copy, and cannot be encrypted later.",
    remediation="Ask for encryption when the disk or file system is made.",
    severity=Severity.HIGH,
    levels=ALWAYS,
    source="docs.aws.amazon.com: encryption of EBS and EFS is off by default; CKV_AWS_3, _42, _184 and _190 of checkov",
    check=_encrypted,
    thresholds=(_OWN_KEYS,),
)
RULES = (GUARDED, KEPT_SAFE, ENCRYPTED)
