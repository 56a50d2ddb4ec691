"""Quantities: converted in one place, printed as people say them."""

from __future__ import annotations

from decimal import Decimal

import pytest

from modelberth.units import GIB, ceil_to, cores, duration, gib, mebibytes, quantity, tokens


def test_bytes_are_printed_in_gib_and_tokens_with_separators() -> None:
    assert (gib(GIB), gib(1.5 * GIB), gib(4096 * GIB)) == ("1.00 GiB", "1.50 GiB", "4,096.00 GiB")
    assert tokens(131_072) == "131,072"


@pytest.mark.parametrize(("seconds", "said"), [(1, "1 s"), (59.2, "1 min"), (95, "1 min 35 s"), (600, "10 min")])
def test_a_length_of_time_is_rounded_up_and_said_in_minutes(seconds: float, said: str) -> None:
    assert duration(seconds) == said


@pytest.mark.parametrize(("amount", "step", "rounded"), [(0, 5, 0), (1, 5, 5), (5, 5, 5), (5.1, 5, 10)])
def test_rounding_up_reaches_the_next_multiple(amount: float, step: int, rounded: int) -> None:
    assert ceil_to(amount, step) == rounded


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("7910m", Decimal("7.910")),
        ("200Gi", Decimal(200 * GIB)),
        ("1.5Gi", Decimal(3 * GIB // 2)),
        ("2", Decimal(2)),
        (2.0, Decimal(2)),
        ("100k", Decimal(100_000)),
        ("2e3", Decimal(2000)),
        ("1 Gi", None),
        (" 1Gi", None),
        ("1_000", None),
        ("1e999999", None),
        ("Gi", None),
        ("many", None),
        ("", None),
        ("NaN", None),
        (True, None),
    ],
)
def test_a_kubernetes_quantity_is_a_number_of_its_base_unit(text: str | float, amount: Decimal | None) -> None:
    assert quantity(text) == amount


@pytest.mark.parametrize(
    ("written", "spelled"),
    [
        (cores(18_000), "18"),
        (cores(1500), "1500m"),
        (mebibytes(0), "0"),
        (mebibytes(10_240), "10Gi"),
        (mebibytes(1536), "1536Mi"),
        (mebibytes(2 * 1024**2), "2Ti"),
    ],
)
def test_a_quantity_is_spelled_with_the_largest_whole_suffix(written: str, spelled: str) -> None:
    assert written == spelled
