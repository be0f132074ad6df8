"""docs/architecture.md names every package with what it imports, from the top down."""

import ast
import re
from pathlib import Path

from tests.docs.pages import ROOT

HOUSE = ROOT / "hlposmon"


def _rows() -> dict[str, set[str]]:
    """Package and what the table says that it imports, in the order of the table."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| .+ \| ([\w, ]+) \|$", text, re.MULTILINE)
    return {name: set(said.split(", ")) - {"nothing"} for name, said in rows}


def _rooms() -> dict[str, list[Path]]:
    """The files of each package, and of each module that is a room by itself."""
    folders = {path.parent.name: sorted(path.parent.rglob("*.py")) for path in HOUSE.glob("*/__init__.py")}
    return folders | {path.stem: [path] for path in HOUSE.glob("*.py") if not path.stem.startswith("__")}


def _imports(files: list[Path]) -> set[str]:
    nodes = [node for path in files for node in ast.walk(ast.parse(path.read_text()))]
    named = [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    named += [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    return {name.split(".")[1] for name in named if name.startswith("hlposmon.")}


def test_the_table_of_rooms_names_every_package_with_what_it_imports():
    there_is = {name: _imports(files) - {name} for name, files in _rooms().items()}

    assert _rows() == there_is


def test_the_table_of_rooms_goes_from_the_top_down():
    order = list(_rows())
    upwards = [
        (name, one) for name, said in _rows().items() for one in said if order.index(one) < order.index(name)
    ]

    assert upwards == []


def test_every_module_that_is_named_in_the_way_of_a_fill_is_there():
    text = (ROOT / "docs" / "architecture.md").read_text()
    files = set(re.findall(r"`([a-z]+/[a-z_]+)`", text))
    way = text.split("## A fill's way", 1)[1].split("\n## ", 1)[0]

    assert len(set(re.findall(r"`([a-z]+/[a-z_]+)`", way)) & files) > 10
    missing = [name for name in files if not list(HOUSE.glob(f"{name}*"))]
    assert missing == []
