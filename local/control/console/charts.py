"""Charts of metrics as SVG, for pages that need no script."""

from __future__ import annotations

from collections.abc import Sequence

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
