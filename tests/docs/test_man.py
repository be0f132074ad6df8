"""The manual pages name all that the program has, and are rendered without a complaint."""

import ast
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from hlposmon.cli import main
from hlposmon.cli.main import program
from hlposmon.config import Flags, load, render
from tests import debian
from tests.docs.pages import MANUALS, ROOT

PROGRAM = (ROOT / "man" / "hlposmon.1").read_text()
CONFIG = (ROOT / "man" / "hlposmon.toml.5").read_text()


def sections(text: str, macro: str) -> dict[str, str]:
    """Title and text of each `.Sh` or `.Ss`; one of several titles stands for each of them."""
    found: dict[str, str] = {}
    for part in re.split(rf"^\.{macro} ", text, flags=re.MULTILINE)[1:]:
        titles, _, body = part.partition("\n")
        found |= {
            title.strip(): re.split(r"^\.Sh ", body, flags=re.MULTILINE)[0] for title in titles.split(" , ")
        }
    return found


def flags(text: str) -> set[str]:
    """The options that a part of the manual names at the head of an entry."""
    heads = re.findall(r"^\.It (.*Fl .*)$", text, re.MULTILINE)
    named = [re.findall(r"(?:Fl|(?<= ,)) (?!Fl\b)(-?[a-zA-Z][\w-]*)", head) for head in heads]
    return {f"-{name}" for names in named for name in names}


def commands(group: click.Group, before: str = "") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


def options(command: click.Command) -> set[str]:
    shown = [one for one in command.params if isinstance(one, click.Option) and not one.hidden]
    return {text for one in shown for text in (*one.opts, *one.secondary_opts)}


def environment() -> set[str]:
    """Every variable that the program asks for by name."""
    found = set()
    for path in (ROOT / "hlposmon").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            texts: list[ast.expr] = []
            if isinstance(node, ast.Call):
                called = node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)
                known = {"get", "pop", "xdg", "systemd", "switch", "getenv"}
                texts = node.args[:1] if called.strip("_") in known else []
            elif isinstance(node, ast.Compare) and "environ" in ast.unparse(node.comparators[0]):
                texts = [node.left]
            elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "KEY_NAME":
                texts = [node.value]
            elif isinstance(node, ast.Subscript) and "environ" in ast.unparse(node.value):
                texts = [node.slice]
            values = [text.value for text in texts if isinstance(text, ast.Constant)]
            found |= {one for one in values if isinstance(one, str) and re.fullmatch(r"[A-Z][A-Z_]{3,}", one)}
    return found


@pytest.mark.parametrize(("name", "command"), list(commands(program)), ids=str)
def test_every_command_is_described_with_its_options_and_no_others(name: str, command: click.Command):
    described = sections(PROGRAM, "Ss")
    assert name in described, f"man/hlposmon.1: .Ss {name} is missing"

    assert flags(described[name]) == options(command), f"man/hlposmon.1: .Ss {name}"


def test_the_options_of_all_commands_are_described():
    assert flags(sections(PROGRAM, "Sh")["DESCRIPTION"]) == options(program) | {"-h", "--help"}


def test_no_command_is_described_that_is_not_there():
    assert sections(PROGRAM, "Ss").keys() == dict(commands(program)).keys()


def test_every_variable_of_the_environment_is_described():
    asked = environment()
    assert {"HLPOSMON_SOCKET", "HYPERLIQUID_PRIVATE_KEY", "NOTIFY_SOCKET", "XDG_STATE_HOME"} <= asked
    heads = re.findall(r"^\.It Ev (.+)$", sections(PROGRAM, "Sh")["ENVIRONMENT"], re.MULTILINE)

    assert sorted(asked - set(" , ".join(heads).split(" , "))) == []


def test_every_exit_status_is_described():
    text = sections(PROGRAM, "Sh")["EXIT STATUS"]
    everywhere, _, of_health = text.partition(".Cm health\nends")
    codes = {0, main.USAGE, main.INTERRUPTED, *(code for _, code, _ in main.EXITS), 75}

    assert {int(code) for code in re.findall(r"^\.It (\d+)$", everywhere, re.MULTILINE)} == codes
    assert re.findall(r"^\.It (\d+)$", of_health, re.MULTILINE) == ["0", "1", "2", "3"]


def test_every_key_of_the_configuration_is_described_with_its_default(tmp_path: Path):
    environ = {"HYPERLIQUID_ACCOUNT_ADDRESS": "0x" + "1" * 40, "HOME": str(tmp_path)}
    text = render(load(Flags(), environ, root=tmp_path))
    described = sections(CONFIG, "Ss")
    of_this_machine = {"socket", "state_dir", "log_dir", "name", "address"}
    place, named = "Top level", set()
    for line in text.splitlines():
        if line.startswith("["):
            place = line
        elif " = " in line:
            key, _, default = line.partition(" = ")
            shown = default.replace('"', r"\(dq")
            wanted = f".It Ic {key}" if key in of_this_machine else f".It Ic {key} No = Li {shown}"
            assert place in described, f"man/hlposmon.toml.5: .Ss {place} is missing"
            assert wanted in described[place].splitlines(), f"man/hlposmon.toml.5: .Ss {place}: {wanted}"
            named.add((place, key))

    assert tomllib.loads(text)["venues"]["hyperliquid"]["fill_feeds"] == 2
    heads = {
        (place, key) for place, body in described.items() for key in re.findall(r"^\.It Ic (\w+)", body, re.M)
    }
    assert heads == named, "no key is described that is not there"


@pytest.mark.parametrize("manual", MANUALS, ids=lambda path: path.name)
def test_man_renders_it_without_a_warning(manual: Path):
    man = shutil.which("man")
    groff = shutil.which("groff")
    if man is None or groff is None or not list(Path("/usr/share/groff").glob("*/tmac/doc.tmac")):
        pytest.skip("man-db or groff-base is not installed: apt-get install man-db groff-base")
    warned = subprocess.run(
        [man, "--warnings", "-l", "-Z", str(manual)],
        capture_output=True,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
    )
    read = subprocess.run(
        [man, "-l", str(manual)],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "MANWIDTH": "80"},
    )

    assert (warned.returncode, warned.stderr) == (0, b"")
    assert read.returncode == 0
    assert "SEE ALSO" in read.stdout


@pytest.mark.parametrize("manual", MANUALS, ids=lambda path: path.name)
def test_mandoc_finds_nothing_wrong_in_it(manual: Path):
    found = subprocess.run(
        [debian.program("mandoc"), "-T", "lint", "-W", "warning", str(manual)], capture_output=True, text=True
    )

    assert found.stdout == ""
