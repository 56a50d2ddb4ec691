"""LoRA adapters as files: what one of a rank takes at most, whatever the engine."""

from __future__ import annotations

from modelberth.memory.shapes import Role, Shape

ADAPTED = (Role.ATTENTION, Role.MLP, Role.LINEAR_ATTENTION)
"""Roles whose linear layers adapters change."""

STORED_BYTES = 4
"""Adapters are often stored in 32 bit."""


def adapter_bytes(shape: Shape, rank: int) -> int:
    """The most that an adapter's file takes: rank x (inputs + outputs) of every linear layer."""
    parts = (*shape.of(*ADAPTED), *shape.of(Role.EXPERTS, Role.SHARED_EXPERTS))
    inputs_and_outputs = sum(part.count * (part.rows + part.columns) for part in parts if part.rows > 1 and part.linear)
    return inputs_and_outputs * rank * STORED_BYTES
