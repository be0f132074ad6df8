"""docs/api.md names every metric that there is, and none that there is not."""

import re

from tests.monitoring.tools import ROOT, busy, exposed, scraped


def _section() -> str:
    """What stands under the heading Metrics, up to the next one."""
    text = (ROOT / "docs/api.md").read_text()
    [section] = re.findall(r"^#+ Metrics\n(.*?)(?=^#+ )", text, re.MULTILINE | re.DOTALL)
    return str(section)


def _named() -> set[str]:
    """What the tables name: whole names, and those that a `_suffix` shortens from the whole one before it."""
    named: set[str] = set()
    for row in re.findall(r"^\| (`.*?) \|", _section(), re.MULTILINE):
        whole = ""
        for token in re.findall(r"`(_?[a-z][a-z_]+)(?:\{.*?\})?`", row):
            if token.startswith("_"):
                named |= {whole[:at] + token for at in range(len("hlposmon"), len(whole)) if whole[at] == "_"}
            else:
                whole = token
                named.add(token)
    return named


def test_every_metric_is_documented():
    with busy() as here:
        there_is = {re.sub("_(bucket|sum|count)$", "", name) for name in exposed(scraped(here)[1])}
    ours = {name for name in there_is if name.startswith("hlposmon_")}

    assert ours - _named() == set()


def test_no_metric_is_documented_that_there_is_not():
    with busy() as here:
        there_is = {re.sub("_(bucket|sum|count)$", "", name) for name in exposed(scraped(here)[1])}
    whole = set(re.findall(r"`((?:hlposmon|process)_[a-z_]+)(?:\{.*?\})?`", _section()))

    assert {name for name in whole if name not in there_is} == set()
