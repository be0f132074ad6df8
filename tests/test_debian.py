"""What make unpacks of Debian's programs is what the tests look for, and where they look."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_program_that_make_unpacks_is_found_where_it_is_unpacked():
    listed = re.search(r"^DEBIAN = (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert listed is not None
    unpacked = {pair.partition(":")[0] for pair in listed[1].split()}
    sources = [path.read_text() for path in (ROOT / "tests").rglob("*.py")]
    asked = {name for source in sources for name in re.findall(r"\bprogram\(\"(\w+)\"\)", source)}
    elsewhere = {name for source in sources for name in re.findall(r"\bwhich\(\"(\w+)\"\)", source)}

    assert unpacked <= asked
    assert not unpacked & elsewhere
