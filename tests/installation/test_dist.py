"""What `make dist` builds and `make install` puts in place, in a fresh venv, and without a compiler."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.checkout import CHECKOUT, copy_of_checkout

pytestmark = pytest.mark.timeout(400)


def must(*command: str | Path, env: dict[str, str] | None = None, cwd: Path | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=env, cwd=cwd)
    assert done.returncode == 0, f"{command}:\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of_checkout(tmp_path_factory.mktemp("dist") / "checkout")


@pytest.fixture(scope="module")
def packages(checkout: Path) -> dict[str, Path]:
    must(sys.executable, "-m", "build", "--outdir", checkout / "dist", checkout)
    [sdist], [wheel] = checkout.glob("dist/*.tar.gz"), checkout.glob("dist/*.whl")
    return {"sdist": sdist, "wheel": wheel}


@pytest.fixture(scope="module")
def no_compiler(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which nothing can be compiled."""
    tools = tmp_path_factory.mktemp("tools")
    for name in ("sh", "env", "rm", "uname"):
        found = shutil.which(name)
        assert found is not None
        (tools / name).symlink_to(found)
    environ = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    return environ | {"PATH": str(tools), "CC": "/bin/false", "CXX": "/bin/false"}


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_it_installs_without_a_compiler_and_runs(
    kind: str, packages: dict[str, Path], no_compiler: dict[str, str], tmp_path: Path
):
    must(sys.executable, "-m", "venv", tmp_path / "venv")
    program = tmp_path / "venv/bin/hlposmon"
    pip = (program.with_name("python"), "-m", "pip", "install", "-q", "--disable-pip-version-check")
    must(*pip, packages[kind], env=no_compiler, cwd=tmp_path)
    places = {f"XDG_{name}": str(tmp_path / name) for name in ("RUNTIME_DIR", "STATE_HOME", "CONFIG_HOME")}
    Path(places["XDG_RUNTIME_DIR"]).mkdir(mode=0o700)
    environ = no_compiler | places | {"HOME": str(tmp_path)}
    with subprocess.Popen([program, "run", "--simulate"], env=environ, cwd=tmp_path) as monitor:
        try:
            must(program, "wait", "--ready", "--timeout", "60", env=environ, cwd=tmp_path)
            shown = json.loads(must(program, "status", "--json", env=environ, cwd=tmp_path))
            must(program, "health", env=environ, cwd=tmp_path)
        finally:
            monitor.send_signal(signal.SIGINT)

    assert shown["positions"]
    assert monitor.returncode == 0
    assert program.with_name("check_hlposmon").is_file()
    compiled = list((tmp_path / "venv/lib").glob("python*/site-packages/hlposmon/__pycache__/*.pyc"))
    assert compiled, "byte code is compiled"
    assert (tmp_path / "venv/share/hlposmon/systemd/hlposmon.service").is_file()
    assert (tmp_path / "venv/share/man/man1/hlposmon.1").is_file()


def test_make_installs_below_a_folder_again_over_itself_and_takes_it_away(checkout: Path, tmp_path: Path):
    root = tmp_path / "root"
    make = ("make", "-C", str(checkout), f"DESTDIR={root}", f"PYTHON={sys.executable}")
    prefix_with_a_slash = "PREFIX=/opt/hlposmon/"
    must("sh", "-c", 'umask 077; exec "$0" "$@"', *make, prefix_with_a_slash, "install")
    prefix = root / "opt/hlposmon"
    assert not (prefix / "lib/sources").exists() and not (prefix / "sources").exists()
    open_to_all = [path for path in root.rglob("*") if not path.is_symlink() and path.stat().st_mode & 0o004]
    assert len(open_to_all) == sum(not path.is_symlink() for path in root.rglob("*")), "whatever the umask"
    assert (root / "usr/local/bin/hlposmon").readlink() == Path("/opt/hlposmon/bin/hlposmon")
    assert (prefix / "bin/hlposmon").read_text().startswith("#!/opt/hlposmon/bin/python")
    for made in (prefix / "bin").iterdir():
        assert made.is_symlink() or b".new" not in made.read_bytes(), made
    caches = list((prefix / "lib").rglob("hlposmon/**/*.pyc"))
    assert caches
    assert not [path for path in caches if b"hlposmon.new" in path.read_bytes()]
    assert (root / "etc/hlposmon/hlposmon.toml").is_file()
    assert (root / "etc/systemd/system/hlposmon.service").is_file()

    state = root / "var/lib/hlposmon/history.sqlite3"
    state.parent.mkdir(parents=True, exist_ok=True)
    state.write_text("fills")
    (prefix / "old").touch()
    must(*make, "install")
    assert not (prefix / "old").exists()
    assert not list(prefix.parent.glob("hlposmon.*"))

    must(*make, "uninstall")
    assert [path for path in sorted(root.rglob("*")) if path.is_file() or path.is_symlink()] == [state]
    must(*make, "purge")
    assert not [path for path in root.rglob("*") if not path.is_dir()]


@pytest.mark.parametrize("what", ["install", "uninstall", "purge"])
@pytest.mark.parametrize("prefix", ["/usr/local", "/usr"])
def test_make_touches_no_folder_that_is_not_an_installation(what: str, prefix: str, tmp_path: Path):
    kept = tmp_path / "usr/local/precious"
    kept.parent.mkdir(parents=True)
    kept.write_text("mine")
    command = ["make", "-C", str(CHECKOUT), f"DESTDIR={tmp_path}", f"PREFIX={prefix}", what]
    done = subprocess.run(command, capture_output=True, text=True)

    assert done.returncode == 2
    assert "is no installation of hlposmon: nothing was changed" in done.stderr
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [kept]


@pytest.mark.parametrize("prefix", ["", "/", "opt/x", "/opt/a|b", "/opt/a b", "/opt/../etc"])
def test_make_takes_no_prefix_that_is_no_path(prefix: str, tmp_path: Path):
    command = ["make", "-C", str(CHECKOUT), f"DESTDIR={tmp_path}/root", f"PREFIX={prefix}", "install"]
    done = subprocess.run(command, capture_output=True, text=True)

    assert (done.returncode, "PREFIX has to be a path" in done.stderr) == (2, True)
    assert not (tmp_path / "root").exists()


def test_make_takes_no_prefix_from_the_environment():
    environ = os.environ | {"PREFIX": "/usr/local"}
    shown = must("make", "-C", str(CHECKOUT), "-n", "uninstall", env=environ)

    assert "/usr/local" not in shown
    assert "rm -rf '/opt/hlposmon'" in shown
