"""What the engine tells about a resource -> plain data. An unknown value becomes a marker and never hides its siblings.

Secrets arrive here in the clear: nothing read here is ever printed.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import struct_pb2
from pulumi.runtime.proto import analyzer_pb2

from modelberth.observed import UNKNOWN
from modelberth.resources import Options, Resource
from modelberth.sigils import OUTPUT, SECRET, SIGNATURE, UNKNOWNS

_EXACT = 2**53
"""Up to here a float holds every whole number."""


def resource(asked: analyzer_pb2.AnalyzeRequest | analyzer_pb2.AnalyzerResource) -> Resource:
    """The resource that a request is about, or one of a stack's."""
    timeouts = asked.options.customTimeouts
    options = Options(
        protect=asked.options.protect,
        create_timeout_s=timeouts.create or None,
        update_timeout_s=timeouts.update or None,
        provider=asked.provider.urn,
    )
    of_stack = isinstance(asked, analyzer_pb2.AnalyzerResource)
    return Resource(
        type=asked.type,
        name=asked.name,
        properties=plain(asked.properties),
        urn=asked.urn,
        options=options,
        parent=asked.parent if of_stack else asked.options.parent,
        dependencies=tuple(asked.dependencies) if of_stack else (),
        property_dependencies={k: tuple(v.urns) for k, v in asked.propertyDependencies.items()} if of_stack else {},
    )


def plain(struct: struct_pb2.Struct) -> dict[str, Any]:
    """The properties as dictionaries, lists and scalars."""
    return {key: _value(value) for key, value in struct.fields.items()}


def _value(value: struct_pb2.Value) -> Any:
    match value.WhichOneof("kind"):
        case "string_value":
            return UNKNOWN if value.string_value in UNKNOWNS else value.string_value
        case "struct_value":
            return _object(value.struct_value)
        case "list_value":
            return [_value(each) for each in value.list_value.values]
        case "number_value":
            return _number(value.number_value)
        case "bool_value":
            return value.bool_value
        case _:
            return None


def _number(value: float) -> int | float:
    """A whole number as one: the protocol knows only floats, and manifests write 2 where it says 2.0."""
    return int(value) if value.is_integer() and abs(value) < _EXACT else value


def _object(struct: struct_pb2.Struct) -> Any:
    """An object; a secret is its value, an output value what it holds, an asset or archive nothing that rules read."""
    signature = struct.fields[SIGNATURE].string_value if SIGNATURE in struct.fields else ""
    if not signature:
        return plain(struct)
    if signature in (SECRET, OUTPUT):
        return _value(struct.fields["value"]) if "value" in struct.fields else UNKNOWN
    return None
