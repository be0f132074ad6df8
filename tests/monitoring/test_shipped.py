"""What monitoring systems are given comes with the wheel: who installed that has no checkout."""

import configparser

from tests.monitoring.tools import ROOT


def _shipped() -> set[str]:
    """The files below etc/ that setup.cfg puts into the wheel, each under its own path."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    return {
        file.relative_to(ROOT).as_posix()
        for target, patterns in setup["options.data_files"].items()
        for pattern in patterns.split()
        for file in ROOT.glob(pattern)
        if target == f"share/hlposmon/{file.parent.relative_to(ROOT)}"
    }


def test_all_of_etc_is_in_the_wheel_in_folders_of_the_same_names():
    wanted = {file.relative_to(ROOT).as_posix() for file in (ROOT / "etc").rglob("*") if file.is_file()}

    assert wanted - _shipped() == set()
