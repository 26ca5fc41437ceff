"""Pieces of a page of results: HTML that needs no other file, no server and no network.

All text is escaped here, and nowhere else: give it as it is.
"""

import base64
import hashlib
import html
import io
import json
import math
import re
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import matplotlib as mpl
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

KINDS = {
    ".gif": ("image/gif", b"GIF8"),
    ".mp4": ("video/mp4", b"ftyp"),
    ".png": ("image/png", b"\x89PNG"),
    ".svg": ("image/svg+xml", b"<svg"),
}
"""Files that a page can hold: their kind, and bytes that such a file has near its beginning."""
SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)
# Texts stay texts, and nothing in the file is drawn by chance: the same figure is the same file.
SVG: Any = {"svg.fonttype": "none", "svg.hashsalt": "jaxmeta"}
WITHOUT_DATE: Any = dict.fromkeys(("Creator", "Date", "Format", "Type"))


def document(title: str, body: Iterable[str]) -> str:
    """A whole page of pieces. Whatever they hold, a browser loads nothing and runs no script but the page's own."""
    template = resources.files("jaxmeta.plots").joinpath("page.html").read_text(encoding="utf-8")
    found = SCRIPT.search(template)
    assert found is not None
    digest = base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()
    return Template(template).substitute(title=html.escape(title), script=f"sha256-{digest}", body="\n".join(body))


def heading(level: int, text: str, name: str = "") -> str:
    """A heading; ``name`` is what links lead to."""
    return f"<h{level}{_id(name)}>{html.escape(text)}</h{level}>"


def paragraph(text: str, kind: str = "") -> str:
    return f"<p{_class(kind)}>{html.escape(text)}</p>"


def links(entries: Iterable[tuple[str, str]]) -> str:
    """Where to go from the top of a page: names, as of ``heading``, and texts."""
    items = "".join(f'<li><a href="#{html.escape(name)}">{html.escape(text)}</a></li>' for name, text in entries)
    return f'<nav aria-label="Runs"><ul>{items}</ul></nav>'


def notices(title: str, entries: Iterable[str]) -> str:
    """A list that stands out."""
    items = "".join(f"<li>{html.escape(text)}</li>" for text in entries)
    return f'<section class="notices">\n{heading(2, title)}\n<ul>{items}</ul>\n</section>'


def table(caption: str, heads: list[str], rows: list[list[str]]) -> str:
    """A table whose first column names its rows, in a box of its own in which it scrolls."""
    head = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in heads)
    lines = [
        f'<tr><th scope="row">{html.escape(first)}</th>{"".join(map(_cell, cells))}</tr>' for first, *cells in rows
    ]
    caption = html.escape(caption)
    pieces = [
        f'<div class="wide" role="region" aria-label="{caption}" tabindex="0"><table>',
        f"<caption><span>{caption}</span></caption>\n<thead><tr>{head}</tr></thead>\n<tbody>",
        *lines,
        "</tbody>\n</table></div>",
    ]
    return "\n".join(pieces)


def text(content: str) -> str:
    """Text whose lines stay as they are."""
    return f'<pre class="wide" tabindex="0">{html.escape(content)}</pre>'


def folded(summary: str, *body: str) -> str:
    """Pieces that are shown on demand."""
    return "\n".join([f"<details>\n<summary>{html.escape(summary)}</summary>", *body, "</details>"])


def beside(*body: str) -> str:
    """Pieces side by side, where there is room."""
    return "\n".join(['<div class="beside">', *body, "</div>"])


def drawing(figure: Figure, name: str, alt: str, caption: str) -> str:
    """A figure as SVG, inside the page; ``name`` is its own on the page."""
    return f'<figure>\n<div class="wide">{_svg(figure, name, alt)}</div>\n{_caption(caption)}\n</figure>'


def curves(figure: Figure, name: str, alt: str, caption: str) -> str:
    """``drawing`` of lines over a common x, on a linear axis, whose values can be read, and which can be hidden.

    What has the same label, an underscore before it apart, is shown and hidden together.
    """
    (ax,), series = figure.axes, {}
    # Those of the legend come first.
    for artist in sorted((*ax.lines, *ax.collections), key=lambda one: str(one.get_label()).startswith("_")):
        label = str(artist.get_label()).removeprefix("_")
        one = series.setdefault(label, {"name": label, "colour": None, "marks": [], "values": []})
        artist.set_gid(f"mark-{sum(len(each['marks']) for each in series.values())}")
        one["marks"].append(f"{name}-{artist.get_gid()}")
        if isinstance(artist, Line2D):
            one["values"].append(_numbers(artist.get_ydata()))
            # Beneath the name of a series of several colours is none.
            one["colour"] = to_hex(artist.get_color()) if len(one["values"]) == 1 else None
    drawn = _svg(figure, name, alt)
    # Where the axes lie is known once the figure is drawn.
    box, (width, height) = ax.get_position(), figure.get_size_inches() * 72
    frame = [box.x0 * width, (1 - box.y1) * height, box.x1 * width, (1 - box.y0) * height]
    content = {"label": ax.get_xlabel(), "frame": _numbers(frame), "x": ax.get_xlim(), "y": ax.get_ylim()}
    content |= {"steps": _numbers(ax.lines[0].get_xdata()), "series": list(series.values())}
    # No text in it may end the element.
    data = json.dumps(content, default=float).replace("<", "\\u003c")
    return (
        f'<figure class="curves">\n<div class="wide">{drawn}</div>\n'
        f'<script type="application/json">{data}</script>\n{_caption(caption)}\n</figure>'
    )


def embedded(path: Path, alt: str, caption: str) -> str:
    """A picture or film as part of the page.

    Raises:
      ValueError: a file of another kind, or not of the kind that its name says.
    """
    if path.suffix.lower() not in KINDS:
        raise ValueError(f"{path}: its name must end in one of {', '.join(KINDS)}")
    (kind, mark), content = KINDS[path.suffix.lower()], path.read_bytes()
    if mark not in content[:1000]:
        raise ValueError(f"{path}: holds no {kind}")
    # As an image even an SVG runs no scripts and loads nothing.
    source = f'src="data:{kind};base64,{base64.b64encode(content).decode()}"'
    words = html.escape(alt)
    shown = f'<video controls aria-label="{words}" {source}></video>'
    shown = shown if kind.startswith("video") else f'<img alt="{words}" {source}>'
    return f'<figure class="file">\n{shown}\n{_caption(caption)}\n</figure>'


def _svg(figure: Figure, name: str, alt: str) -> str:
    """A figure as an SVG element, whose names of parts begin with the figure's own."""
    file = io.StringIO()
    with mpl.rc_context(SVG):
        figure.savefig(file, format="svg", transparent=True, metadata=WITHOUT_DATE)
    drawn = file.getvalue()
    drawn = drawn[drawn.index(">", drawn.index("<svg")) + 1 :]
    drawn = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", drawn)
    width, height = figure.get_size_inches() * 72
    # Smaller than this its words cannot be read: a narrower box scrolls.
    style = f"max-width: {width:g}pt; min-width: {0.68 * width:g}pt"
    size = f'viewBox="0 0 {width:g} {height:g}" style="{style}"'
    spaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return f'<svg {spaces} {size} role="img" aria-label="{html.escape(alt)}">{drawn.rstrip()}'


def _numbers(values: Any) -> list[float | None]:
    """Five digits of each; JSON has no word for what is not finite."""
    return [float(f"{float(value):.5g}") if math.isfinite(value) else None for value in values]


def _cell(text: str) -> str:
    kind = _class("number") if re.match(r"[−\d]", text) else ""
    return f"<td{kind}>{html.escape(text)}</td>"


def _caption(text: str) -> str:
    return f"<figcaption>{html.escape(text)}</figcaption>"


def _id(name: str) -> str:
    return f' id="{html.escape(name)}"' if name else ""


def _class(kind: str) -> str:
    return f' class="{html.escape(kind)}"' if kind else ""
