"""Charts as SVG, by pygal: bars for the peers, a curve for growth."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import pygal
from pygal.style import Style

# pygal leaves a finder for maps behind, and Python warns of its kind at every import of a module that is not there.
sys.meta_path[:] = [finder for finder in sys.meta_path if not type(finder).__module__.startswith("pygal")]

_COLOURS = {"agent": "#c2410c", "node": "#4d7c0f", "trio": "#b45309", "sdk": "#1d4ed8", "relay": "#78716c"}
_PANEL = (390, 190)


def bars(panels: Sequence[tuple[str, Mapping[str, float]]]) -> str:
    """One panel a quantity, two beside each other; in each, a bar a peer with its value."""
    width, height = _PANEL
    rows = -(-len(panels) // 2)
    parts = []
    for index, (title, values) in enumerate(panels):
        chart = pygal.HorizontalBar(
            **_common(title, _PANEL),
            style=_style([_COLOURS.get(name, "#c2410c") for name in values]),
            show_legend=False,
            show_x_labels=False,
            show_x_guides=False,
            range=(0, max(values.values(), default=1)),
            value_formatter=number,
        )
        upwards = list(reversed(values.items()))  # the first one is drawn lowest
        chart.x_labels = [f"{name}  {number(value)}" for name, value in upwards]
        chart.add("", [{"value": value, "color": _COLOURS.get(name, "#c2410c")} for name, value in upwards])
        x, y = index % 2 * width, index // 2 * height
        parts.append(f'<svg x="{x}" y="{y}" width="{width}" height="{height}">{_drawn(chart)}</svg>')
    size = f'width="{2 * width}" height="{rows * height}" viewBox="0 0 {2 * width} {rows * height}"'
    body = "\n".join(parts)
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>\n{body}\n</svg>\n'


def curve(title: str, across: str, points: Sequence[tuple[float, float]]) -> str:
    """A quantity over another one, both axes from zero."""
    size = (700, 320)
    chart = pygal.XY(
        **_common(title, size),
        style=_style([_COLOURS["agent"]]),
        x_title=across,
        show_legend=False,
        range=(0, 1.1 * max(y for _, y in points)),
        xrange=(0, max(x for x, _ in points)),
        value_formatter=number,
        x_value_formatter=number,
        dots_size=3,
    )
    most = max(x for x, _ in points)
    chart.x_labels = [most * quarter / 4 for quarter in range(5)]
    chart.add("", list(points))
    return _drawn(chart) + "\n"


def number(value: float) -> str:
    """A number as people write it: three digits that count, and never a power of ten."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _common(title: str, size: tuple[int, int]) -> dict[str, object]:
    return {
        "title": title,
        "width": size[0],
        "height": size[1],
        "js": (),
        "explicit_size": True,
        "margin": 12,
        "margin_right": 40,
        "truncate_label": -1,
    }


def _style(colours: Sequence[str]) -> Style:
    return Style(
        background="white",
        plot_background="white",
        font_family="system-ui, sans-serif",
        colors=tuple(colours),
        guide_stroke_color="#e7e5e4",
        major_guide_stroke_color="#e7e5e4",
        guide_stroke_dasharray="1,0",
        major_guide_stroke_dasharray="1,0",
        **dict.fromkeys(("title_font_size", "label_font_size", "major_label_font_size", "value_font_size"), 13),
    )


def _drawn(chart: Any) -> str:
    # The ID is random otherwise, and each drawing would differ from the one before.
    chart.uuid = "".join(letter if letter.isalnum() else "-" for letter in chart.config.title)
    drawn: str = chart.render(is_unicode=True, disable_xml_declaration=True)
    return re.sub(r"<!--.*?-->", "", drawn, flags=re.DOTALL)  # the day on which it was drawn
