"""Each library has one door: only there is it imported. And the light command stays light."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "hlposmon"

DOORS = {
    "orjson": ("text.py",),
    "requests": ("transport/http.py",),
    "websocket": ("transport/websocket.py",),
    "h11": ("serving/",),
    "wsproto": ("serving/",),
    "sdnotify": ("supervision/systemd.py",),
    "prometheus_client": ("metrics/families.py",),
    "click": ("cli/",),
    "rich": ("cli/",),
    "eth_account": ("config/",),
    "sqlite3": ("history/", "client/history.py"),
    "mmap": ("snapshot/writer.py", "client/snapshot.py", "system/shared_memory.py"),
}
FORBIDDEN = ("asyncio", "multiprocessing")


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("library", [*DOORS, *FORBIDDEN])
def test_a_library_is_imported_only_at_its_door(library: str):
    doors = DOORS.get(library, ())
    users = [
        path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py") if library in _imports(path)
    ]

    assert [user for user in users if not user.startswith(doors)] == [] if doors else users == []


@pytest.mark.parametrize(("room", "words"), [("supervision", ("fill", "price", "position"))])
def test_supervision_knows_no_word_of_trading(room: str, words: tuple[str, ...]):
    names = {
        node.id.lower()
        for path in (PACKAGE / room).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Name)
    }

    assert [name for name in names for word in words if word in name] == []


def test_workers_know_venues_by_the_port_alone():
    """No import of a venue, and none of its channels or field names: those stand in its folder."""
    venues = {path.name for path in (PACKAGE / "venues").iterdir() if path.is_dir()} - {"__pycache__"}
    assert "hyperliquid" in venues
    words = {*venues, "userFills", "userFundings", "fastAssetCtxs", "clearinghouseState"}
    found = []
    for path in (PACKAGE / "workers").glob("*.py"):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            module = (node.module or "") if isinstance(node, ast.ImportFrom) else ""
            if module.startswith("hlposmon.venues") and module != "hlposmon.venues.port":
                found.append(f"{path.name} imports {module}")
            text = getattr(node, "value", None)
            if isinstance(text, str):
                found += [f"{path.name} names {word}" for word in words if word.lower() in text.lower()]

    assert found == []


@pytest.mark.parametrize(
    ("fact", "home"),
    [
        ("history.sqlite3", "history/schema.py"),
        ("trading", "journal/files.py"),
        ("SO_PEERCRED", "serving/callers.py"),
    ],
)
def test_a_fact_stands_in_one_place(fact: str, home: str):
    users = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if fact in (getattr(node, "value", None), getattr(node, "attr", None))
    }

    assert {home} == users
