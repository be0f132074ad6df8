"""What the monitor says is what docs/examples/types.ts says that it says: no field more, no field less.

The schema is made of those types; here it is taken strictly, so that a new field is noticed too.
"""

import copy
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from hlposmon.client.api import Api
from hlposmon.journal.pruning import prune
from tests.docs.conftest import Shown, shown, until
from tests.docs.pages import ROOT, all_blocks
from tests.journal.clerk import DAY, Clerk

SCHEMA = json.loads((ROOT / "docs" / "schema" / "messages.json").read_text())
STRANGER = "0x" + "ab" * 20


def strict(node: Any) -> Any:
    """The schema without room for fields that it does not name."""
    if isinstance(node, list):
        return [strict(item) for item in node]
    if not isinstance(node, dict):
        return node
    closed = {name: strict(value) for name, value in node.items()}
    if "properties" in closed and "additionalProperties" not in closed:
        closed["additionalProperties"] = False
    return closed


STRICT = strict(copy.deepcopy(SCHEMA["definitions"]))


def faults(kind: str, value: Any) -> list[str]:
    """Where a value is not of a kind; of a choice of kinds the nearest is meant."""
    validator = Draft7Validator({"$ref": f"#/definitions/{kind}", "definitions": STRICT})
    return [f"{kind} {error.json_path}: {_said(error)}" for error in validator.iter_errors(value)]


def _said(error: Any) -> str:
    from jsonschema.exceptions import best_match

    nearest = best_match([error]) or error
    return f"{nearest.json_path}: {nearest.message}"[:400]


class Heard:
    """What a stream said until something was seen."""

    def __init__(self, api: Api, *, compact: bool = False) -> None:
        self.messages: list[dict[str, Any]] = []
        self._stream = api.stream(compact=compact, timeout_s=60)

    def __enter__(self) -> "Heard":
        self.messages.append(next(self._stream))
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def kinds(self) -> set[str]:
        return {str(m.get("event_type") or m.get("e") or m.get("type")) for m in self.messages}

    def wait(self, kind: str) -> None:
        until(f"{kind} is told", lambda: self._read(kind))

    def _read(self, kind: str) -> bool:
        self.messages.append(next(self._stream))
        return kind in self.kinds()


@pytest.fixture(scope="module")
def here() -> Iterator[Shown]:
    with shown(pace=0) as made:
        yield made


@pytest.fixture(scope="module")
def told(here: Shown) -> dict[str, list[dict[str, Any]]]:
    """Everything that the stream can say, in both forms."""
    account = here.accounts[0]
    with Heard(here.api) as whole, Heard(here.api, compact=True) as compact:
        here.control.fill(account, "BTC", "B", "0.1", "86000")
        here.control.set_mark("BTC", "91000")
        whole.wait("price_update")
        compact.wait("p")
        here.control.lose(1)
        here.control.fill(account, "BTC", "B", "0.2", "86000")
        here.control.fill(account, "BTC", "A", "0.1", "86100")
        here.control.funding()
        here.control.ghost(account, "SOL", "7")
        for heard in (whole, compact):
            for kind in ("fill", "gap", "healed", "verdict", "position_change", "drift"):
                if kind not in heard.kinds():
                    heard.wait(kind)
        here.control.liquidate(account, "BTC", backstop=True)
        for heard in (whole, compact):
            heard.wait("liquidation")
        return {"Message": whole.messages, "Compact": compact.messages}


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("Summary", "/api/v1/positions/summary"),
        ("Summary", "/api/v1/positions/summary?account=main"),
        ("Health", "/api/v1/positions/health"),
        ("Workers", "/api/v1/workers"),
        ("LedgerAnswer", "/api/v1/ledger"),
        ("Refusal", "/api/v1/ledger?since=then"),
        ("Refusal", "/api/v1/positions"),
        ("Refusal", "/api/v1/positions/summary?account=nobody"),
        ("Refusal", "/api/v1/positions/stream"),
    ],
)
def test_an_answer_has_the_documented_fields_and_no_others(here: Shown, kind: str, path: str):
    _, answer = here.api.get(path)

    assert faults(kind, answer) == []


def test_every_message_of_the_stream_has_the_documented_fields_and_no_others(told):
    messages = told["Message"]

    assert {"fill", "price_update", "verdict", "gap", "healed", "drift", "liquidation"} <= {
        str(m.get("event_type") or m["type"]) for m in messages
    }
    assert {"start", "drift", "funding"} & {str(m.get("reason")) for m in messages}
    assert [fault for message in messages for fault in faults("Message", message)] == []


def test_every_compact_message_has_the_documented_fields_and_no_others(told):
    first, *messages = told["Compact"]

    assert {"p", "fill", "verdict", "gap", "healed", "drift", "liquidation"} <= {m["e"] for m in messages}
    assert faults("InitialState", first) == []
    assert [fault for message in messages for fault in faults("Compact", message)] == []


def test_what_the_stream_answers_is_documented(here: Shown):
    with here.api.stream(timeout_s=60) as stream:
        next(stream)
        stream.send({"action": "get_summary"})
        stream.send({"action": "dance"})
        answers = {}
        while {"summary", "error"} - answers.keys():
            message = next(stream)
            answers[message["type"]] = message

    assert [fault for message in answers.values() for fault in faults("Message", message)] == []


def test_the_answers_of_a_monitor_that_knows_nothing_yet_are_documented():
    with shown(pace=0) as here:
        assert here.stop() == 0
        here.monitor = None
        nowhere = ["--api-url", "http://127.0.0.1:9", "--ws-url", "ws://127.0.0.1:9/ws"]
        here.start("--address", STRANGER, *nowhere, wait=False)
        summary = until("it answers", here.api.summary)
        health = here.api.health()

        assert summary["stated"] is False
        assert [*faults("Summary", summary), *faults("Health", health)] == []


@pytest.mark.parametrize(
    "block", [block for block in all_blocks() if block.language == "json"], ids=lambda block: block.place
)
def test_every_documented_message_is_of_the_documented_kind(block):
    assert block.mark in STRICT, f"{block.place}: a comment <!-- test: KIND --> above says what this is"

    assert faults(block.mark, json.loads(block.text)) == []


def test_the_note_of_what_was_pruned_is_documented(tmp_path: Path):
    clerk = Clerk(tmp_path)
    for _ in range(4):
        clerk.write(1)
        clerk.now_ms += DAY
    folder = tmp_path / "trading"
    prune(folder, keep_days=2, today=datetime.fromtimestamp(clerk.now_ms / 1000, UTC).date())

    assert faults("Pruned", json.loads((folder / "pruned.json").read_text())) == []


def test_a_field_more_a_field_less_and_a_wrong_type_are_found(here: Shown):
    health = here.api.health()

    assert faults("Health", {**health, "mood": "good"})
    assert faults("Health", {name: value for name, value in health.items() if name != "since"})
    assert faults("Health", {**health, "unrealized_pnl": 1.5})
