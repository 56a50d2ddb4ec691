"""Ports as clouds write them: one number, or a range in one text."""

from __future__ import annotations

from modelberth.node import Node

SSH = 22


def contains(written: Node, port: int) -> bool | None:
    """Whether "22", 22 or "20-30" contains a port; None where it is only known after apply."""
    if written.unknown:
        return None
    first, _, last = str(written.value).removesuffix(".0").partition("-")
    if not first.strip().isdecimal():
        return False
    end = last.strip() or first.strip()
    return int(first) <= port <= int(end) if end.isdecimal() else False
