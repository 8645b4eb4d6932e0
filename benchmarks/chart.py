"""Charts as SVG, without a library: bars for the peers, curves for growth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

_COLOURS = {"agent": "#c2410c", "node": "#4d7c0f", "sdk": "#1d4ed8", "relay": "#78716c"}
_FONT = 'font-family="system-ui, sans-serif" font-size="12"'


def bars(panels: Sequence[tuple[str, Mapping[str, float]]]) -> str:
    """One panel a quantity; in each, a bar a peer with its value."""
    height = 26 + max((len(values) for _, values in panels), default=0) * 24
    parts = []
    for index, (title, values) in enumerate(panels):
        left, top = 10 + index % 2 * 390, 10 + index // 2 * height
        parts.append(f'<text x="{left}" y="{top + 14}" font-weight="bold">{escape(title)}</text>')
        most = max(values.values(), default=1) or 1
        for row, (name, value) in enumerate(values.items()):
            y = top + 24 + row * 24
            width = max(1.0, 230 * value / most)
            parts.append(f'<text x="{left}" y="{y + 14}">{escape(name)}</text>')
            parts.append(f'<rect x="{left + 50}" y="{y}" width="{width:.0f}" height="18" fill="{_colour(name)}"/>')
            parts.append(f'<text x="{left + 56 + width:.0f}" y="{y + 14}">{value:,.4g}</text>')
    return _svg(780, 20 + -(-len(panels) // 2) * height, parts)


def curves(title: str, unit: str, points: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """One curve a name over a common axis, both axes from zero."""
    every = [point for curve in points.values() for point in curve]
    right, top = max(x for x, _ in every) or 1, max(y for _, y in every) or 1
    parts = [
        f'<text x="60" y="20" font-weight="bold">{escape(title)}</text>',
        '<path d="M60 40 V260 H560" fill="none" stroke="#a8a29e"/>',
        f'<text x="560" y="276" text-anchor="end">{right:,.4g}</text><text x="60" y="276">0</text>',
        f'<text x="56" y="46" text-anchor="end">{top:,.3g}</text>',
        f'<text x="56" y="60" text-anchor="end">{escape(unit)}</text>',
    ]
    for row, (name, curve) in enumerate(points.items()):
        place = [(60 + 500 * x / right, 260 - 220 * y / top) for x, y in curve]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in place)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{_colour(name)}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{_colour(name)}"/>' for x, y in place]
        parts.append(f'<text x="575" y="{50 + row * 18}" fill="{_colour(name)}">{escape(name)}</text>')
    return _svg(700, 290, parts)


def _colour(name: str) -> str:
    return _COLOURS.get(name, "#c2410c")


def _svg(width: int, height: int, parts: Sequence[str]) -> str:
    body = "\n".join(parts)
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} {_FONT}>\n<rect width="100%" height="100%" fill="#fff"/>'
    return f"{head}\n{body}\n</svg>\n"
