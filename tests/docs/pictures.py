"""Draws docs/pictures/status.svg: what `hlposmon status` prints, of a real run on the simulated exchange.

python -m tests.docs.pictures
"""

import io
import re

from rich.console import Console
from rich.terminal_theme import MONOKAI

from hlposmon.cli.live import picture
from tests.docs.pages import ROOT
from tests.system.world import until, world

PICTURE = ROOT / "docs" / "pictures" / "status.svg"
WIDTH = 150


def draw() -> str:
    with world() as here:
        here.start("--simulate", "--seed", "7", "--pace", "5")
        until("there is some history", lambda: here.api.health()["journal"]["seq"] > 60)
        until("all is proven", lambda: here.api.health()["status"] == "healthy")
        console = Console(
            record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, highlight=False, markup=False
        )
        console.print(picture(here.api, None))
        # Its own fonts alone: a page that shows it fetches nothing.
        svg = console.export_svg(title="hlposmon status", theme=MONOKAI, unique_id="status")
    return re.sub(r" *@font-face \{.*?\}\n", "", svg, flags=re.DOTALL)


if __name__ == "__main__":
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(draw())
    print(f"{PICTURE}: {PICTURE.stat().st_size} bytes")
