"""From a drawn figure to the page: one small SVG that looks the same on every machine, with its sentence as alt text."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from html import escape

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from bgtk_lib.display.page import Shown
from bgtk_lib.errors import Language, Text

INK = "#1c2227"
MUTED = "#566069"
RULE = "#d3d9de"
ACCENT = "#1f5f7a"
ACCENT_SOFT = "#8db8ca"
ACCENT_PALE = "#e3eef3"

WIDTH = 5.0  # inches; at 328 px, a small phone, the text is still 9 px high
ROW = 0.27  # inches a text row takes
SIZE = 9.0  # points
SMALL = 8.0
METADATA = ("Date", "Creator", "Format", "Type")  # what matplotlib would say of itself
MARKS_FIT = 60  # signs of the marks that stand in one line of a figure
FONTS = "system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif"


def start_figure(rows: float) -> tuple[Figure, Axes]:
    """Return an empty figure and its axes, high enough for a number of text rows.

    It is not registered with pyplot: nothing has to be closed, nothing shows itself twice in a notebook.
    """
    figure = Figure(figsize=(WIDTH, 0.75 + ROW * rows), layout="constrained")
    return figure, figure.add_subplot()


def settle(ax: Axes, *, sides: Sequence[str] = ("bottom",)) -> Axes:
    """Give an axes the quiet look: thin rules, small text, only the sides that carry a scale."""
    for name, spine in ax.spines.items():
        spine.set_visible(name in sides)
        spine.set(color=RULE, linewidth=0.8)
    ax.tick_params(labelsize=SMALL, labelcolor=INK, color=RULE, length=3, width=0.8)
    ax.xaxis.label.set(size=SMALL, color=MUTED)
    ax.yaxis.label.set(size=SMALL, color=MUTED)
    ax.set_axisbelow(True)
    return ax


def draw_figure(figure: Figure, *, title: Text, sentence: Text, marks: Sequence[str], language: Language) -> Shown:
    """Return a figure with its title and its sentence, which is caption and alt text in one.

    Parameters
    ----------
    figure : Figure
        From `start_figure`; its layout must be ``constrained``. It is closed afterwards.
    title : Text
        What it shows.
    sentence : Text
        One true sentence made from the same frame (`sentences`).
    marks : sequence of str
        Drawn inside the figure, so that they stay when somebody cuts it out: ``DRAF``, the synthetic mark.
    language : {"id", "en"}
        Language of the page.
    """
    if marks:
        line = " · ".join(marks)
        written = line if len(line) <= MARKS_FIT else "\n".join(marks)
        figure.suptitle(written, x=0.008, ha="left", fontsize=SMALL - 0.5, fontweight="bold", color=MUTED)
    source = base64.b64encode(write_svg(figure).encode()).decode()
    plt.close(figure)
    said, named = sentence.said(language), title.said(language)
    html = (
        f'<figure><img alt="{escape(said)}" src="data:image/svg+xml;base64,{source}">'
        f"<figcaption><strong>{escape(named)}</strong> {escape(said)}</figcaption></figure>"
    )
    return Shown(html, f"{named}\n{said}")


def write_svg(figure: Figure) -> str:
    """Return a figure as SVG: the same bytes each time, text as text.

    Text is measured in DejaVu Sans, which comes with matplotlib and is wider than the fonts of phones and offices;
    so what fits here fits there.
    """
    raw = io.StringIO()
    layout = figure.get_layout_engine()
    if layout is not None:
        layout.execute(figure)
        figure.set_layout_engine("none")
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "bgtk"}):
        # not savefig, which draws a figure that had a layout twice, first without a pen
        FigureCanvasSVG(figure).print_svg(raw, metadata=dict.fromkeys(METADATA))  # type: ignore[no-untyped-call]
    return compact_svg(raw.getvalue())


def compact_svg(svg: str) -> str:
    """Return matplotlib's SVG without what nobody sees: prologue, comments, group names, digits beyond 1/100 point."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r"<[^>]+>", lambda tag: _compact_tag(tag.group()), svg)
    svg = re.sub(r">\s+<", "><", svg)
    style = f"text{{font-family:{FONTS}}}"
    return svg.replace("<defs>", f"<defs><style>{style}</style>", 1).strip() + "\n"


def _compact_tag(tag: str) -> str:
    tag = re.sub(r"""font-family:\s*[^";]*;?\s*""", "", tag)
    tag = re.sub(r"(\d\.\d\d)\d+", r"\1", tag)
    tag = re.sub(r"\.00\b|(\.\d)0\b", r"\1", tag)
    tag = re.sub(r"([:;])\s+", r"\1", tag)
    tag = re.sub(r"\s*\n\s*", " ", tag)
    return re.sub(r' transform="rotate\(-?0 [^"]*\)"| style=""', "", tag).replace(' ">', '">')
