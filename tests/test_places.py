"""The short way to the socket is the long one; the config is parsed only when it may say where."""

import gc
import itertools
import sys
from pathlib import Path

import pytest

from hlposmon.config import Flags, locate
from hlposmon.config.places import configured_socket, find_socket

ENVIRON = {
    "HLPOSMON_SOCKET": "~/named",
    "HLPOSMON_CONFIG": "{folder}/named.toml",
    "CONFIGURATION_DIRECTORY": "{folder}/systemd:/other",
    "RUNTIME_DIRECTORY": "{folder}/runtime:/other",
    "XDG_CONFIG_HOME": "{folder}/xdg",
    "XDG_STATE_HOME": "relative",
    "XDG_RUNTIME_DIR": "{folder}/user",
}


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    for name in ("named.toml", "systemd/hlposmon.toml", "xdg/hlposmon/hlposmon.toml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f'socket = "/of/{name}"\n')
    return tmp_path


@pytest.mark.parametrize("run", ["", "run/user", "run/hlposmon", "run/hlposmon/hlposmon.sock"])
def test_whatever_is_set_both_ways_lead_to_the_same_socket(machine: Path, run: str):
    (machine / run).mkdir(parents=True, exist_ok=True)
    found = set()
    for count in range(len(ENVIRON) + 1):
        for names in itertools.combinations(ENVIRON, count):
            environ = {name: ENVIRON[name].format(folder=machine) for name in names} | {"HOME": "/home/me"}
            for flag in (None, "/flag", "flag", "~/flag"):
                short = Path(find_socket(flag, environ, str(machine)))
                assert locate(Flags(socket=flag), environ, root=machine).socket == short
                found.add(short)

    assert {
        Path("/flag"),
        Path("/home/me/named"),
        Path("/of/named.toml"),
        machine / "runtime/hlposmon.sock",
    } <= found
    assert len(found) >= 8


@pytest.mark.parametrize("own", [True, False])
def test_a_service_that_is_down_is_meant_by_who_has_no_monitor_of_his_own(tmp_path: Path, own: bool):
    environ = {"HOME": str(tmp_path / "home"), "XDG_RUNTIME_DIR": str(tmp_path / "user")}
    (tmp_path / "etc/hlposmon").mkdir(parents=True)
    (tmp_path / "etc/hlposmon/hlposmon.toml").touch()
    if own:
        (tmp_path / "user/hlposmon").mkdir(parents=True)
    found = find_socket(None, environ, str(tmp_path))

    assert found == str(tmp_path / ("user/hlposmon" if own else "run/hlposmon") / "hlposmon.sock")
    assert locate(Flags(), environ, root=tmp_path).socket == Path(found)


@pytest.mark.parametrize(
    ("text", "socket"),
    [
        ('socket = "/x"', "/x"),
        ("  'socket' = '/x'", "/x"),
        ('"so\\u0063ket" = "/x"', "/x"),
        ('# socket = "/x"\n  # socket\n[prices]\n', None),
        ('[prices]\nsocket = "/x"', None),
        ("socket = 5", None),
        ('socket = ""', None),
        ('socket = "/x', None),
        ("socket = '\udcff'", None),
    ],
)
def test_the_socket_of_a_config_is_found_and_a_broken_one_stops_nobody(
    tmp_path: Path, text: str, socket: str | None
):
    (tmp_path / "a.toml").write_text(text, errors="surrogateescape")

    assert socket == configured_socket(str(tmp_path / "a.toml"))


def test_a_config_that_names_no_socket_is_not_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shipped = Path(__file__).parent.parent / "etc/hlposmon.toml"
    monkeypatch.setitem(sys.modules, "tomllib", None)  # an import would raise

    assert configured_socket(str(shipped)) is None
    assert configured_socket(str(tmp_path / "missing")) is None


def test_a_config_whose_brackets_are_too_deep_names_no_socket(tmp_path: Path):
    nested = tmp_path / "nested.toml"
    nested.write_text(f"socket = {'[' * 5000}{']' * 5000}")
    gc.collect()  # a finalizer of an earlier test must not run at the deepest point of the recursion
    assert configured_socket(str(nested)) is None
