"""Answers of Hyperliquid's real servers, captured by others, where this machine has them.

They are no part of this repository. HLPOSMON_REAL_DATA names their folder; without it they are looked for
beside the checkout. Read by the product's own door for JSON. What of them is no answer (how a recording was
made, which rows were selected) is taken apart here, and no payload is.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hlposmon.text import loads

ROOT = Path(
    os.environ.get("HLPOSMON_REAL_DATA", Path(__file__).resolve().parents[2] / "shared" / "real-data")
)

needs_captures = pytest.mark.skipif(
    not ROOT.is_dir(), reason=f"no real answers at {ROOT}: set HLPOSMON_REAL_DATA"
)


def captured(name: str) -> Any:
    """The JSON value of a file, as `folder/file`."""
    return loads((ROOT / name).read_bytes())


def answered(name: str) -> Any:
    """The body of a recorded HTTP answer."""
    return captured(name)["body"]


def every_object() -> Iterator[dict[str, Any]]:
    """Every JSON object anywhere in any of the files, in the order of their names."""
    for path in sorted(ROOT.glob("*/*.json")):
        yield from _objects(loads(path.read_bytes()))


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _objects(inner)
