"""What the cloud does when the provider calls it: make, read, change, delete, refuse, fail."""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf import any_pb2
from google.rpc import status_pb2
from pulumi.runtime.proto import provider_pb2

from tests.providers import checks, faults, outputs, sdk_types
from tests.providers.cloud import Cloud, Fault, Object, State
from tests.providers.tables import Rules, rules
from tests.providers.values import DEFAULTS, at, to_struct, unknown


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
        context.set_trailing_metadata([("grpc-status-details-bin", status.SerializeToString())])
        context.abort(grpc.StatusCode.UNKNOWN, str(self))


class Backend:
    """The cloud of one package, as one configured provider sees it."""

    def __init__(self, package: str, cloud: Cloud) -> None:
        self._package = package
        self._cloud = cloud
        self._config: dict[str, Any] = {}

    def configured(self, config: dict[str, Any]) -> None:
        """Take over the provider's own inputs."""
        self._config = config

    def checked(self, token: str, inputs: dict[str, Any]) -> list[checks.Failure]:
        """What is wrong with inputs that only this package knows."""
        return []

    def create(self, urn: str, token: str, inputs: dict[str, Any]) -> Object:
        """Make an object; refused when one of that id exists."""
        row = rules(token)
        with _Call(self._cloud, self._package, "create", token, urn) as call:
            with self._cloud.changed() as state:
                self._references(state, token, inputs, row)
                context = self._context(state)
                found = outputs.computed(token, inputs, sdk_types.resource(token), row, context)
                made = Object(token, str(found.pop("id")), inputs, found, urn)
                if made.key in state.objects:
                    raise Refused(f"{self._already(token)}: {made.id} exists already")
                state.objects[made.key] = made
            call.done(made)
        return made

    def read(self, urn: str, token: str, id_: str) -> Object | None:
        """The object, or None when there is none."""
        with _Call(self._cloud, self._package, "read", token, urn) as call:
            found = self._cloud.state().objects.get(f"{token}|{id_}")
            call.done(found, id_)
        return found

    def update(self, urn: str, token: str, id_: str, inputs: dict[str, Any]) -> Object:
        """Change an object in place; refused when there is none."""
        row = rules(token)
        with _Call(self._cloud, self._package, "update", token, urn) as call:
            with self._cloud.changed() as state:
                found = state.objects.get(f"{token}|{id_}")
                if found is None:
                    raise Refused(f"{self._missing(token)}: there is no {id_}")
                self._references(state, token, inputs, row)
                given = {key for key in found.inputs if key != DEFAULTS}
                kept = {key: value for key, value in found.outputs.items() if key not in given}
                new = {key: value for key, value in inputs.items() if key != DEFAULTS}
                found.inputs, found.outputs, found.failed = inputs, {**kept, **new}, ""
            call.done(found)
        return found

    def delete(self, urn: str, token: str, id_: str, inputs: dict[str, Any]) -> None:
        """Delete an object; one that is gone already is no error."""
        row = rules(token)
        if inputs.get("deletionPolicy") == "PREVENT":
            raise Refused(f"{id_} cannot be deleted: deletionPolicy is PREVENT")
        if inputs.get("deletionPolicy") == "ABANDON":
            return
        with _Call(self._cloud, self._package, "delete", token, urn) as call:
            with self._cloud.changed() as state:
                found = state.objects.get(f"{token}|{id_}")
                if found is not None:
                    self._deletable(state, found, row)
                    del state.objects[found.key]
                    for other, falls in _referring(state, found):
                        if falls:
                            del state.objects[other.key]
            call.done(found, id_)

    def invoke(self, token: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """The answer to a function of the SDK."""
        raise Refused(f"the stand-in for {self._package} does not answer {token}")

    def as_inputs(self, found: Object, old: dict[str, Any]) -> dict[str, Any]:
        """The inputs that would make an object as it is, in terms of those it was made with."""
        result = {key: value for key, value in found.inputs.items()}
        if DEFAULTS in old:
            result[DEFAULTS] = old[DEFAULTS]
        return result

    def _context(self, state: State) -> dict[str, Any]:
        return {key: value for key, value in self._config.items() if isinstance(value, str)}

    def _references(self, state: State, token: str, inputs: dict[str, Any], row: Rules) -> None:
        for path, reference in row.references.items():
            for value in at(inputs, path):
                if not unknown(value) and not any(
                    _is_meant(each, reference.by, value) for each in state.of_type(reference.to)
                ):
                    raise Refused(f"{self._missing(token)}: {path} names {value}, which does not exist")

    def _deletable(self, state: State, found: Object, row: Rules) -> None:
        for flag in row.protected_by:
            if found.inputs.get(flag) is True:
                raise Refused(f"{found.id} cannot be deleted while {flag} is true: set it to false first")
        if found.contents and found.inputs.get("forceDestroy") is not True:
            raise Refused(f"{found.id} is not empty: it holds {found.contents} objects and forceDestroy is not set")
        held = [other.id for other, falls in _referring(state, found, holding=True) if not falls]
        if held:
            raise Refused(f"{found.id} is still in use by {', '.join(held)}")

    def _already(self, token: str) -> str:
        return "googleapi: Error 409" if self._package == "gcp" else "api error ResourceInUseException"

    def _missing(self, token: str) -> str:
        return "googleapi: Error 404" if self._package == "gcp" else "api error ResourceNotFoundException"


def _is_meant(found: Object, by: str, value: Any) -> bool:
    held = found.id if by == "id" else found.outputs.get(by)
    return held == value


def _referring(state: State, found: Object, *, holding: bool = False) -> list[tuple[Object, bool]]:
    """Objects that name another one, each with whether it goes with it."""
    result = []
    for other in state.objects.values():
        for path, reference in rules(other.type).references.items():
            if reference.to != found.type or (holding and not reference.holds):
                continue
            if any(_is_meant(found, reference.by, value) for value in at(other.inputs, path)):
                result.append((other, reference.falls))
                break
    return result


class _Call:
    """One call of the cloud: counted, logged, and met by the fault that is planned for it."""

    def __init__(self, cloud: Cloud, package: str, method: str, token: str, urn: str) -> None:
        self._cloud, self._package, self._method, self._token, self._urn = cloud, package, method, token, urn
        self._number = 0
        self._fault: Fault | None = None
        self._id = ""

    def __enter__(self) -> _Call:
        self._number, self._fault = self._cloud.begin(self._method, self._token)
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

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        if self._fault is None or self._fault.kind not in faults.KINDS:
            self._log("ok" if error is None else f"refused: {error}")

    def _log(self, outcome: str) -> None:
        self._cloud.end(self._number, self._method, self._token, urn=self._urn, id_=self._id, outcome=outcome)
