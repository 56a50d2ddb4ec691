"""What the cloud does when the provider calls it: make, read, change, delete, refuse, fail."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import grpc
from google.protobuf import any_pb2
from google.rpc import status_pb2
from pulumi.runtime.proto import provider_pb2

from tests.providers import aws, cluster, faults, gcp, limits, outputs, sdk_types
from tests.providers.cloud import Cloud, Fault, Object, State
from tests.providers.embedded import Embedded
from tests.providers.failures import Failure
from tests.providers.tables import Reference, Rules, rules
from tests.providers.values import DEFAULTS, at, to_struct
from toolchain.kube import KubeError


class Refused(Exception):
    """The cloud says no; with `made`, an object exists nevertheless and belongs into the engine's state."""

    def __init__(self, message: str, made: Object | None = None) -> None:
        super().__init__(message)
        self.made = made

    def abort(self, context: grpc.ServicerContext) -> None:
        """End the call with this as its error."""
        if self.made is None:
            context.abort(grpc.StatusCode.UNKNOWN, str(self))
        detail = provider_pb2.ErrorResourceInitFailed(
            id=self.made.id,
            properties=to_struct({**self.made.outputs, "id": self.made.id}),
            inputs=to_struct(self.made.inputs),
            reasons=[str(self)],
        )
        packed = any_pb2.Any()
        packed.Pack(detail)
        status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=str(self), details=[packed])
        context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        context.abort(grpc.StatusCode.UNKNOWN, str(self))


class Backend:
    """The cloud of one package, as one configured provider sees it."""

    def __init__(self, package: str, cloud: Cloud) -> None:
        self._package = package
        self._own: Any = {"gcp": gcp, "aws": aws}[package]
        self._cloud = cloud
        self._config: dict[str, Any] = {}
        self.embedded = Embedded(self._own, cloud)

    def configured(self, config: dict[str, Any]) -> None:
        """Take over the provider's own inputs."""
        self._config = config

    def checked(self, token: str, inputs: dict[str, Any]) -> list[Failure]:
        """What neither the resource nor its provider says and somebody has to."""
        needed = self._own.needed(token, inputs, self._config, sdk_types.resource(token))
        return [Failure(needed, "required, and neither the resource nor the provider gives it")] if needed else []

    def create(self, urn: str, token: str, inputs: dict[str, Any]) -> Object:
        """Make an object; refused when one of that id exists."""
        row = rules(token)
        with _Call(self._cloud, self._package, "create", token, urn) as call:
            with self._cloud.changed() as state:
                self._acceptable(state, token, inputs, row)
                made = self._made(state, urn, token, inputs, row)
                if made.key in state.objects and not row.idempotent:
                    raise Refused(f"{self._own.ALREADY}: {made.id} exists already")
                state.objects[made.key] = made
            if not call.is_sold_out:
                self._played(lambda: self.embedded.settle(made, urn))
            call.done(made)
        return made

    def put(self, token: str, inputs: dict[str, Any]) -> Object:
        """Something that somebody else made, as this cloud would have it: no call is counted."""
        with self._cloud.changed() as state:
            made = self._made(state, "", token, inputs, rules(token))
            state.objects[made.key] = made
        return made

    def _made(self, state: State, urn: str, token: str, inputs: dict[str, Any], row: Rules) -> Object:
        """What shall be; where the cloud makes the id up, it is one that nothing has."""
        context = {**cluster.addresses(), **self._own.context(self._config, inputs, state)}
        types = sdk_types.resource(token)

        def attempt(number: int) -> Object:
            found = outputs.computed(token, inputs, types, row, context, salt=f"{urn} {number}")
            return Object(token, str(found.pop("id")), inputs, found, urn)

        tries = map(attempt, itertools.count())
        made = next(each for each in tries if each.key not in state.objects or "{hash" not in row.id)
        self._own.labelled(inputs, made.outputs, self._config)
        self._own.answered(token, inputs, made.outputs, state)
        return made

    def read(self, urn: str, token: str, id_: str) -> Object | None:
        """The object, or None when there is none."""
        with _Call(self._cloud, self._package, "read", token, urn) as call:
            found = _existing(self._cloud.state(), token, id_)
            call.done(found, id_)
        return found

    def update(self, urn: str, token: str, id_: str, inputs: dict[str, Any]) -> Object:
        """Change an object in place; refused when there is none."""
        row = rules(token)
        with _Call(self._cloud, self._package, "update", token, urn) as call:
            with self._cloud.changed() as state:
                found = _existing(state, token, id_)
                if found is None:
                    raise Refused(f"{self._own.MISSING}: there is no {id_}")
                self._acceptable(state, token, inputs, row)
                given = found.inputs.keys() - row.computed - {DEFAULTS}
                kept = {key: value for key, value in found.outputs.items() if key not in given}
                new = {
                    key: outputs.merged(found.outputs.get(key), inputs[key], row, key)
                    for key in inputs.keys() - {DEFAULTS}
                }
                found.inputs, found.outputs, found.failed = inputs, {**kept, **new}, ""
                self._own.labelled(inputs, found.outputs, self._config)
                self._own.updated(token, found)
            self._played(lambda: self.embedded.settle(found, urn))
            call.done(found)
        return found

    def delete(self, urn: str, token: str, id_: str, inputs: dict[str, Any]) -> None:
        """Delete an object; one that is gone already is no error."""
        row = rules(token)
        if inputs.get("deletionPolicy") == "PREVENT":
            raise Refused(f"{id_} cannot be deleted: its deletionPolicy is PREVENT, set it to DELETE first")
        if inputs.get("deletionPolicy") == "ABANDON":
            return
        with _Call(self._cloud, self._package, "delete", token, urn) as call:
            going = _existing(self._cloud.state(), token, id_)
            if going is not None:
                self._deletable(self._cloud.state(), going, row)
                self._played(lambda: self.embedded.drain(going, urn))
                self._played(lambda: self.embedded.vanish(_falling(self._cloud.state(), going)))
            with self._cloud.changed() as state:
                found = _existing(state, token, id_)
                if found is not None:
                    self._deletable(state, found, row)
                    for each in [found, *_falling(state, found)]:
                        if rules(each.type).remains:
                            each.deleted = True
                        else:
                            state.objects.pop(each.key, None)
            call.done(found, id_)

    def _played(self, work: Callable[[], None]) -> None:
        """What shall happen in the embedded cluster; an answer of it that is no good is the cloud's error."""
        try:
            work()
        except (KubeError, TimeoutError) as error:
            raise Refused(f"{self._own.INVALID}: the embedded cluster: {error}") from error

    def invoke(self, token: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """The answer to a function of the SDK; a function that is not known is refused."""
        found = self._own.invoked(token, arguments, self._config, self._cloud.state())
        if found is None:
            raise Refused(f"the stand-in for {self._package} has no answer to {token}({arguments})")
        return found

    def as_inputs(self, found: Object, old: dict[str, Any]) -> dict[str, Any]:
        """The inputs that would make an object as it is, in terms of those it was made with."""
        if not old:  # an import: nothing says which of the inputs the program gave
            return {key: value for key, value in found.inputs.items() if key != DEFAULTS}
        return {**found.inputs, DEFAULTS: old.get(DEFAULTS, [])}

    def _acceptable(self, state: State, token: str, inputs: dict[str, Any], row: Rules) -> None:
        """Refuse inputs that name what does not exist, and those that this cloud's API does not take."""
        for path, reference in row.references.items():
            for value in at(inputs, path):
                elsewhere = reference.unless and re.search(reference.unless, str(value))
                if not elsewhere and not any(_is_meant(each, reference, value) for each in state.of_type(reference.to)):
                    raise Refused(f"{self._own.MISSING}: {path} names {value!r}, which does not exist")
        if reason := self._own.refusal(token, inputs, state):
            raise Refused(f"{self._own.INVALID}: {reason}")
        if token == self._own.POOL and (size := self._own.size(inputs, state)):
            sizes = [self._own.size(each.inputs, state) for each in state.of_type(token)]
            others = [each for each in sizes if each and each.name != size.name]
            if reason := limits.refusal(self._package, self._cloud.folder, size, others):
                raise Refused(reason)

    def _deletable(self, state: State, found: Object, row: Rules) -> None:
        for flag in row.protected_by:
            if found.inputs.get(flag) is True:
                raise Refused(f"{found.id} cannot be deleted while {flag} is true: set it to false first")
        if found.contents and found.inputs.get("forceDestroy") is not True:
            raise Refused(f"{found.id} is not empty: it holds {found.contents} objects and forceDestroy is not set")
        emptied = found.inputs.get("forceDestroy") is True
        held = [other.id for other, reference in _referring(state, found) if reference.holds and not emptied]
        if held:
            raise Refused(f"{found.id} is still in use by {', '.join(held)}")


def _existing(state: State, token: str, id_: str) -> Object | None:
    found = state.objects.get(f"{token}|{id_}")
    return None if found is None or found.deleted else found


def _is_meant(found: Object, reference: Reference, value: Any) -> bool:
    return any(value == (found.id if by == "id" else found.outputs.get(by)) for by in reference.by)


def _referring(state: State, found: Object) -> list[tuple[Object, Reference]]:
    """Objects that name another one."""
    result = []
    for other in state.objects.values():
        for path, reference in () if other.deleted else rules(other.type).references.items():
            if reference.to == found.type and any(_is_meant(found, reference, each) for each in at(other.inputs, path)):
                result.append((other, reference))
                break
    return result


def _falling(state: State, found: Object) -> list[Object]:
    """Objects that go with another one, and those that go with them."""
    emptied = found.inputs.get("forceDestroy") is True
    direct = [each for each, reference in _referring(state, found) if reference.falls or (reference.holds and emptied)]
    return [*direct, *(other for each in direct for other in _falling(state, each))]


class _Call:
    """One call of the cloud: counted, logged, and met by the fault that is planned for it."""

    def __init__(self, cloud: Cloud, package: str, method: str, token: str, urn: str) -> None:
        self._cloud, self._package, self._method, self._token, self._urn = cloud, package, method, token, urn
        self._number = 0
        self._fault: Fault | None = None
        self._id = ""

    def __enter__(self) -> Self:
        self._number, self._fault = self._cloud.begin(self._method, self._token, self._urn)
        kind = self._fault.kind if self._fault else ""
        if kind and kind not in faults.KINDS:
            raise Refused(f"no such fault: {kind}")
        if kind in faults.REFUSING:
            self._log(kind)
            raise Refused(faults.MESSAGES[self._package][kind])
        if kind.endswith("-before"):
            self._log(kind)
            faults.crash(kind)
        return self

    @property
    def is_sold_out(self) -> bool:
        """Whether what is made gets no machines."""
        return self._fault is not None and self._fault.kind == "stock-out"

    def done(self, found: Object | None, id_: str = "") -> None:
        """The cloud has changed; what is planned for after that happens now."""
        self._id = found.id if found else id_
        kind = self._fault.kind if self._fault else ""
        if kind.endswith("-after"):
            self._log(kind)
            faults.crash(kind)
        if kind in faults.HALF_DONE:
            self._log(kind)
            message = faults.MESSAGES[self._package][kind]
            kept = found if self._method in ("create", "update") else None
            if kept is not None:
                with self._cloud.changed() as state:
                    state.objects[kept.key].failed = message
            raise Refused(message, kept)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._fault is None or self._fault.kind not in faults.KINDS:
            self._log("ok" if error is None else f"refused: {error}")

    def _log(self, outcome: str) -> None:
        self._cloud.end(self._number, self._method, self._token, urn=self._urn, id_=self._id, outcome=outcome)
