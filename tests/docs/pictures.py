"""Draws docs/pictures/status.svg: what `hlposmon status` prints, of a real run on the simulated exchange.

python -m tests.docs.pictures
"""

import html
import io
import re

from rich.console import Console
from rich.terminal_theme import MONOKAI

from hlposmon.cli.live import picture
from tests.docs.pages import ROOT
from tests.system.world import until, world

PICTURE = ROOT / "docs" / "pictures" / "status.svg"
WIDTH = 150

_BLANK = "&#160;"
_TEXT = re.compile(
    r'(?P<head><text class="status-r\d+" )x="(?P<x>[\d.]+)" (?P<y>y="[\d.]+") textLength="(?P<length>[\d.]+)"'
    r"(?P<tail>[^>]*>)(?P<text>[^<\n]*)\n?</text>"
)


def draw() -> str:
    with world() as here:
        here.start("--simulate", "--seed", "7", "--pace", "5")
        until("there is some history", lambda: here.api.health()["journal"]["seq"] > 60)
        until("all is proven", lambda: here.api.health()["status"] == "healthy")
        console = Console(
            record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, highlight=False, markup=False
        )
        console.print(picture(here.api, None))
        svg = console.export_svg(title="hlposmon status", theme=MONOKAI, unique_id="status")
    # A page that shows it fetches no fonts.
    return _TEXT.sub(_tight, re.sub(r" *@font-face \{.*?\}\n", "", svg, flags=re.DOTALL))


def text_of(svg: str) -> list[str]:
    """The lines of the picture, with a blank between two pieces of text."""
    lines: dict[str, list[str]] = {}
    for found in _TEXT.finditer(svg):
        if found["y"] not in lines:
            lines[found["y"]] = []
        lines[found["y"]].append(html.unescape(found["text"].replace(_BLANK, " ")))
    return [" ".join(pieces) for pieces in lines.values()]


def _tight(found: re.Match[str]) -> str:
    """A piece of text without blanks at its ends: some programs that draw SVG leave them out themselves."""
    text = found["text"].replace(_BLANK, " ")
    before, bare = len(text) - len(text.lstrip()), text.strip()
    if not bare:
        return ""
    width = float(found["length"]) / len(html.unescape(text))
    x, length = float(found["x"]) + before * width, len(html.unescape(bare)) * width
    place = f'x="{x:g}" {found["y"]} textLength="{length:g}"'
    return f"{found['head']}{place}{found['tail']}{bare.replace(' ', _BLANK)}</text>"


if __name__ == "__main__":
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(draw())
    print(f"{PICTURE}: {PICTURE.stat().st_size} bytes")
