"""A few hundred lives in virtual time, and that a life is the same whenever it is lived.

`make simulate` lives many more. A seed that fails is told; `python -m tests.simulation --seed N` traces it.
"""

import hashlib
import logging
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.simulation.__main__ import lives
from tests.simulation.life import Life

LIVES = 200
_DIGEST = """
import hashlib, logging
logging.disable(logging.CRITICAL)
from tests.simulation.life import Life
for seed in (1, 7, 48):
    life = Life(seed).run()
    print(hashlib.sha256(life.journal).hexdigest(), hashlib.sha256(life.published).hexdigest())
"""


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def test_what_is_proven_is_true_under_all_faults_and_everything_is_proven_when_they_end():
    result = lives(range(LIVES))

    assert not result.wrong, "\n".join(f"seed {seed}: {texts}" for seed, texts in result.wrong.items())
    assert result.claims > 50 * LIVES
    assert len(+result.seen) > 30, "most rare states are met in so many lives"


def test_a_seed_gives_the_same_journal_and_the_same_messages_in_every_process():
    """Whatever the order in which this process's sets and dicts of text are hashed."""
    digests = [
        subprocess.run(
            [sys.executable, "-c", _DIGEST],
            env={**os.environ, "PYTHONHASHSEED": number},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for number in ("1", "2")
    ]

    assert digests[0] == digests[1]
    life = Life(1).run()
    here = hashlib.sha256(life.journal).hexdigest(), hashlib.sha256(life.published).hexdigest()
    assert digests[0].splitlines()[0] == " ".join(here)
    assert life.journal and life.published
