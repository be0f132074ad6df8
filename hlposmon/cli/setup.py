"""`hlposmon setup`: installs or removes units, configuration, cron file, manual pages and completions."""

import os
import shutil
import sys
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from hlposmon import __version__
from hlposmon.errors import HlposmonError
from hlposmon.installation.changes import Package, check_prefix, installation
from hlposmon.installation.layout import COMPLETIONS, SERVICE
from hlposmon.installation.system import acquaint, apply, next_steps, remove, restore

NO_PERMISSION = 4


@click.command("setup", short_help="Install as a system service, or remove it.")
@click.option(
    "--destdir", metavar="DIR", default="/", help="Below this folder, running nothing: to make a package."
)
@click.option("--remove", "removing", is_flag=True, help="Take it away again; state and logs stay.")
@click.option("--purge", is_flag=True, help="Take it away with configuration, state, logs and user.")
def command(destdir: str, removing: bool, purge: bool) -> int:
    """Install the files of a system service around this installation, or upgrade them.

    A configuration that you changed is left as it is. A service that runs is restarted on this version, since
    its processes would come from two versions otherwise; nothing is enabled or started that was not running.
    """
    if removing and purge:
        raise click.UsageError("--remove keeps state and logs and --purge does not: give one of them.")
    if not destdir:
        raise click.UsageError("--destdir is empty: name a folder, or leave it out.")
    root = Path(destdir).resolve()
    live = root == Path("/")
    if live and os.geteuid() != 0:
        click.echo("hlposmon: setup writes to /etc and /usr/local: run it as root, with sudo", err=True)
        return NO_PERMISSION
    os.umask(0o022)  # system files are readable for everybody, whatever the umask of root's shell
    if removing or purge:
        remove(root, _say, purge=purge)
        _say(f"removed; the programs themselves are in {sys.prefix}")
        return 0
    prefix = _prefix(root)
    if live:
        check_prefix(prefix, os.path.realpath(sys.executable))
    package = Package(_sources(), prefix, __version__, _completions())
    restore(root, _say)
    apply(installation(package, root), root, _say)
    runs = acquaint(root, _say)
    if live:
        first, *more = next_steps(runs=runs)
        for line in (f"hlposmon {__version__} is set up{first}", *more):
            _say(line)
    return 0


def _say(line: str) -> None:
    click.echo(line, err=True)


def _prefix(root: Path) -> str:
    """The environment's path on the installed system: without DESTDIR if it lies below that."""
    prefix = Path(sys.prefix).resolve()
    return f"/{prefix.relative_to(root)}" if prefix.is_relative_to(root) else str(prefix)


def _sources() -> Path:
    """The folder of the package's files: the checkout, or share/hlposmon in the environment. Raises
    HlposmonError if there is none."""
    checkout = Path(__file__).parents[2]
    for folder in (checkout, Path(sys.prefix) / "share/hlposmon"):
        if (folder / "systemd" / SERVICE).is_file():
            return folder
    raise HlposmonError(
        f"the package's files are not in {sys.prefix}/share/hlposmon: install it into a virtual"
        " environment (python3 -m venv), not with pip --user"
    )


def _completions() -> dict[str, str]:
    from hlposmon.cli.main import program

    texts = {}
    for shell in COMPLETIONS:
        # bash's own class asks bash for its version first
        kind = get_completion_class(shell)
        if kind is not None and (shell != "bash" or shutil.which("bash")):
            texts[shell] = kind(program, {}, "hlposmon", "_HLPOSMON_COMPLETE").source()
    return texts
