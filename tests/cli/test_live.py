"""The live view on a terminal that is too short for all there is."""

import io
import re
import threading

import pytest
from rich.console import Console, RenderableType

from hlposmon.cli.live import watch
from hlposmon.cli.overview import Overview
from tests.cli.canned_monitor import HEALTH, POSITION, SUMMARY, TOTALS

ACCOUNT = {**TOTALS, "equity": "10000.00", "verdict": "proven"}


def shown(height: int, positions: int, accounts: int) -> list[str]:
    """The lines of the last picture, on a terminal of this height."""
    summary = {
        **SUMMARY,
        "positions": {
            f"C{number}-USD": {**POSITION, "account": f"a{number % accounts}"} for number in range(positions)
        },
        "accounts": {f"a{number}": ACCOUNT for number in range(accounts)},
    }
    stop = threading.Event()

    def look() -> RenderableType:
        stop.set()
        return Overview(summary, HEALTH)

    console = Console(file=io.StringIO(), force_terminal=True, width=150, height=height, color_system=None)
    watch(console, look, stop)
    assert isinstance(console.file, io.StringIO)
    last = console.file.getvalue().split("\x1b[2K")[-1]  # behind what wiped the picture before
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", last).splitlines()


@pytest.mark.parametrize("height", [8, 12, 24, 50])
@pytest.mark.parametrize(("positions", "accounts"), [(40, 1), (40, 30), (0, 30)])
def test_a_short_terminal_counts_what_it_leaves_out(height: int, positions: int, accounts: int):
    lines = shown(height, positions, accounts)
    text = "\n".join(lines)

    assert len(lines) <= height
    assert not any(line.strip() == "..." for line in lines)
    for left_out, name, count in (("more", "C", positions), ("accounts more", "a", accounts)):
        seen = len(re.findall(rf"^{name}\d+", text, re.MULTILINE))
        told = re.search(rf"^\.\.\. and (\d+) {left_out}$", text, re.MULTILINE)
        assert seen + (int(told[1]) if told else 0) == count
        assert seen or not count


def test_a_tall_terminal_shows_all():
    text = "\n".join(shown(100, 40, 30))

    assert "more" not in text
    assert "C39-USD" in text
    assert "a29" in text
