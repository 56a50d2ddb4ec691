"""How Pulumi marks values that are not plain data, in its protocol and in what it records."""

from __future__ import annotations

SIGNATURE = "4dabf18193072939515e22adb298388d"
"""The key of an object that stands for something else; its value says what for."""
SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - a marker, no secret
OUTPUT = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
OPAQUE = frozenset(
    [
        "c44067f5952c0a294b673a41bacd8c17",  # asset
        "0def7320c3a5731c473e5ecbe6d01bc7",  # archive
        "5cf8f73096256a8f31e491e813e4eb8e",  # reference to a resource
    ]
)
"""sdk/go/common/resource/sig/sig.go of Pulumi."""
UNKNOWNS = frozenset(
    [
        "04da6b54-80e4-46f7-96ec-b56ff0331ba9",  # string
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",  # number
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",  # array
        "030794c1-ac77-496b-92df-f27374a8bd58",  # asset
        "e48ece36-62e2-4504-bad9-02848725956a",  # archive
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",  # object
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",  # boolean
    ]
)
"""What stands for values that a preview does not know: sdk/go/common/resource/plugin/rpc.go of Pulumi."""
