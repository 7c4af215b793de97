"""Charts of metrics and of tuning jobs as SVG, for pages that need no script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

_WIDTH, _HEIGHT, _EDGE = 320.0, 120.0, 6.0

Point = tuple[float, float]  # time or number, value


def svg(points: Sequence[Point], name: str) -> Markup:
    """A line through the points, between the least and the largest value."""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    placed = [
        (
            _scaled(x, min(xs), max(xs), _EDGE, _WIDTH - _EDGE),
            _scaled(y, min(ys), max(ys), _HEIGHT - _EDGE, _EDGE),
        )
        for x, y in points
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
    dots = Markup("").join(
        Markup('<circle cx="{:.1f}" cy="{:.1f}" r="2"/>').format(x, y) for x, y in placed[:100]
    )
    return Markup(
        '<svg viewBox="0 0 {w:g} {h:g}" role="img" aria-label="{name}: from {low:.6g} to {high:.6g}"'
        ' preserveAspectRatio="none"><polyline points="{line}" fill="none" stroke="currentColor"'
        ' stroke-width="1.5" vector-effect="non-scaling-stroke"/><g fill="currentColor">{dots}</g></svg>'
    ).format(w=_WIDTH, h=_HEIGHT, name=name, low=min(ys), high=max(ys), line=line, dots=dots)


def _scaled(value: float, low: float, high: float, start: float, end: float) -> float:
    return (start + end) / 2 if low == high else start + (value - low) / (high - low) * (end - start)


@dataclass(frozen=True, slots=True)
class Line:
    """A trial among parallel axes.   places: on each, in [0, 1]; None: it has no value there."""

    places: Sequence[float | None]
    best: bool
    title: str


def scatter(values: Sequence[float], name: str, *, maximize: bool) -> Markup:
    """The values one after another, and a line along the best so far; nothing where there are none."""
    if not values:
        return Markup("")
    best, bests = values[0], []
    for value in values:
        best = max(best, value) if maximize else min(best, value)
        bests.append(best)
    low, high, last = min(values), max(values), max(len(values) - 1, 1)

    def place(number: int, value: float) -> tuple[float, float]:
        x = _scaled(number, 0, last, _EDGE, _WIDTH - _EDGE)
        return x, _scaled(value, low, high, _HEIGHT - _EDGE, _EDGE)

    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(place, range(len(bests)), bests))
    dots = Markup("").join(
        Markup('<circle cx="{:.1f}" cy="{:.1f}" r="2.5"><title>{:.6g}</title></circle>').format(
            *place(number, value), value
        )
        for number, value in enumerate(values)
    )
    return Markup(
        '<svg viewBox="0 0 {w:g} {h:g}" role="img" aria-label="{name} of {count} jobs, best {best:.6g}">'
        '<polyline points="{line}" fill="none" stroke="currentColor" stroke-width="1.5"/>'
        '<g fill="currentColor" opacity=".6">{dots}</g></svg>'
    ).format(w=_WIDTH, h=_HEIGHT, name=name, count=len(values), best=bests[-1], line=line, dots=dots)


def parallel(names: Sequence[str], lines: Sequence[Line]) -> Markup:
    """An axis for each name, a line for each trial, the best one thick; nothing where there are no trials."""
    if not lines:
        return Markup("")
    last = max(len(names) - 1, 1)
    xs = [_scaled(number, 0, last, 4 * _EDGE, 2 * _WIDTH - 4 * _EDGE) for number in range(len(names))]
    top, bottom = 3 * _EDGE, _HEIGHT - _EDGE
    axes = Markup("").join(
        Markup(
            '<line x1="{x:.1f}" x2="{x:.1f}" y1="{top:g}" y2="{bottom:g}" stroke="currentColor"'
            ' opacity=".4"/>'
            '<text x="{x:.1f}" y="{y:g}" text-anchor="middle" font-size="9" fill="currentColor">{name}</text>'
        ).format(x=x, top=top, bottom=bottom, y=2 * _EDGE - 2, name=name)
        for x, name in zip(xs, names, strict=True)
    )
    paths = []
    for line in sorted(lines, key=lambda each: each.best):
        placed = [
            (x, bottom - place * (bottom - top))
            for x, place in zip(xs, line.places, strict=True)
            if place is not None
        ]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        width, opacity = (2.5, 1.0) if line.best else (1.0, 0.35)
        paths.append(
            Markup(
                '<polyline points="{}" fill="none" stroke="currentColor" stroke-width="{}" opacity="{}">'
                "<title>{}</title></polyline>"
            ).format(points, width, opacity, line.title)
        )
    return Markup(
        '<svg viewBox="0 0 {w:g} {h:g}" role="img" aria-label="Hyperparameters of {count} jobs">{axes}{paths}'
        "</svg>"
    ).format(w=2 * _WIDTH, h=_HEIGHT, count=len(lines), axes=axes, paths=Markup("").join(paths))
