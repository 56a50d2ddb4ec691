"""Scatter of predicted against measured on logarithmic axes, as SVG whose bytes follow from the points alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import cycle
from math import ceil, floor, log10

SIDE, LEFT, TOP, RIGHT, BOTTOM = 400, 84, 40, 36, 80
"""Pixels: the square that holds the points, and the margins around it."""
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Okabe and Ito: told apart by colour-blind readers too."""
TICKS = (1, 2, 5)
BAND = 0.25
LEGEND_WIDTH = 146


@dataclass(frozen=True)
class Series:
    """Points of one colour: (measured, predicted), both positive."""

    label: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Axis:
    """Values from ``low`` to ``high`` on ``SIDE`` pixels."""

    low: float
    high: float

    def at(self, value: float) -> float:
        """Pixels from the low end; values beyond either end lie on it."""
        inside = min(max(value, self.low), self.high)
        return SIDE * log10(inside / self.low) / log10(self.high / self.low)

    def ticks(self) -> list[float]:
        """1, 2 and 5 of every decade, only the 1 where many decades are shown."""
        decades = range(floor(log10(self.low)), ceil(log10(self.high)) + 1)
        steps = TICKS if log10(self.high / self.low) <= 3 else TICKS[:1]
        return [step * 10.0**decade for decade in decades for step in steps if self._holds(step * 10.0**decade)]

    def _holds(self, value: float) -> bool:
        return self.low <= value * (1 + 1e-9) and value <= self.high * (1 + 1e-9)


def axis_of(values: Sequence[float]) -> Axis:
    """From the tick below the smallest value to the tick above the largest."""
    marks = [step * 10.0**decade for decade in range(-6, 10) for step in TICKS]
    low = max(mark for mark in marks if mark <= min(values) / (1 + BAND))
    return Axis(low, min(mark for mark in marks if mark >= max(values) * (1 + BAND)))


def scatter(title: str, unit: str, series: Sequence[Series]) -> str:
    """The picture: diagonal, band of 25 percent either side, one dot per row. Axes span what was measured."""
    axis = axis_of([measured for each in series for measured, _ in each.points])
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + SIDE + RIGHT} {TOP + SIDE + BOTTOM}"'
        ' font-family="sans-serif" font-size="12" role="img">',
        f"<title>{escape(title)}</title>",
        '<rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="{LEFT}" y="24" font-size="15" fill="#222">{escape(title)}</text>',
        f'<g transform="translate({LEFT} {TOP})">',
        *_grid(axis),
        *_diagonal(axis),
        *_dots(axis, series),
        *_labels(axis, unit),
        *_legend(series),
        "</g>",
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _grid(axis: Axis) -> Iterator[str]:
    yield f'<rect width="{SIDE}" height="{SIDE}" fill="#fafafa" stroke="#888"/>'
    for tick in axis.ticks():
        x = axis.at(tick)
        yield f'<path d="M{x:.1f} 0V{SIDE}M0 {SIDE - x:.1f}H{SIDE}" stroke="#ddd"/>'


def _diagonal(axis: Axis) -> Iterator[str]:
    corners = [
        (axis.low, axis.low),
        (axis.low, axis.low * (1 + BAND)),
        (axis.high / (1 + BAND), axis.high),
        (axis.high, axis.high),
        (axis.high, axis.high * (1 - BAND)),
        (axis.low / (1 - BAND), axis.low),
    ]
    points = " ".join(f"{axis.at(x):.1f},{SIDE - axis.at(y):.1f}" for x, y in corners)
    yield f'<polygon points="{points}" fill="#000" fill-opacity=".07"/>'
    yield f'<path d="M0 {SIDE}L{SIDE} 0" stroke="#555"/>'


def _dots(axis: Axis, series: Sequence[Series]) -> Iterator[str]:
    """One path per series: dots that fall on the same half pixel are drawn once."""
    many = sum(len(each.points) for each in series) > 200
    style = 'stroke-width="4" stroke-opacity=".35"' if many else 'stroke-width="8" stroke-opacity=".75"'
    for colour, each in zip(cycle(COLOURS), series, strict=False):
        places = sorted({(_half(axis.at(x)), _half(SIDE - axis.at(y))) for x, y in each.points})
        path = "".join(f"M{x:g} {y:g}h0" for x, y in places)
        yield f'<path d="{path}" fill="none" stroke="{colour}" {style} stroke-linecap="round"/>'


def _half(pixels: float) -> float:
    return round(2 * pixels) / 2


def _labels(axis: Axis, unit: str) -> Iterator[str]:
    for tick in axis.ticks():
        x, text = axis.at(tick), f"{tick:,.0f}" if tick >= 1 else f"{tick:g}"
        yield f'<text x="{x:.1f}" y="{SIDE + 16}" text-anchor="middle" fill="#444">{text}</text>'
        yield f'<text x="-6" y="{SIDE - x + 4:.1f}" text-anchor="end" fill="#444">{text}</text>'
    yield f'<text x="{SIDE / 2:g}" y="{SIDE + 36}" text-anchor="middle" fill="#222">measured, {escape(unit)}</text>'
    yield (
        f'<text transform="translate(-64 {SIDE / 2:g}) rotate(-90)" text-anchor="middle" fill="#222">'
        f"predicted, {escape(unit)}</text>"
    )


def _legend(series: Sequence[Series]) -> Iterator[str]:
    for place, (colour, each) in enumerate(zip(cycle(COLOURS), series, strict=False)):
        x, y = LEGEND_WIDTH * (place % 3), SIDE + 58 + 18 * (place // 3)
        yield f'<circle cx="{x + 5}" cy="{y - 4}" r="5" fill="{colour}"/>'
        yield f'<text x="{x + 15}" y="{y}" fill="#222">{escape(each.label)} ({len(each.points):,})</text>'
