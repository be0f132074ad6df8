"""The checkout, and copies of it to build from: a build writes into the folder that it is made of."""

import shutil
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
_MADE = (
    ".git",
    ".venv*",
    "build",
    "hlposmon-[0-9]*",
    "dist",
    "*.egg-info",
    "node_modules",
    "__pycache__",
    ".*_cache",
    ".hypothesis",
)


def copy_of_checkout(folder: Path) -> Path:
    """All but what was made from it; `folder` must not be there yet."""
    return shutil.copytree(CHECKOUT, folder, ignore=shutil.ignore_patterns(*_MADE))
