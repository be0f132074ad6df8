"""The examples in JavaScript, TypeScript and React: their types hold, and they run against a real monitor."""

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.server import ServerConnection, serve

from tests.docs.conftest import EXAMPLES, Shown, shown, until
from tests.docs.pages import ROOT, all_blocks

Node = Callable[..., "subprocess.CompletedProcess[str]"]

SCRIPTS = [block for block in all_blocks() if block.mark.startswith("type-check")]


class Running:
    """A script of node's that goes on until it is ended; what it printed so far."""

    def __init__(self, folder: Path, script: Path, *args: str) -> None:
        self.out, self.err = folder / "out", folder / "err"
        self._process = subprocess.Popen(
            ["node", str(script), *args],
            cwd=script.parent,
            stdout=self.out.open("w"),
            stderr=self.err.open("w"),
        )

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def lines(self) -> list[dict[str, Any]]:
        whole = self.out.read_text().rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines()]

    def errors(self) -> str:
        return self.err.read_text()


def test_the_types_of_all_examples_hold(node: Node):
    checked = node("node_modules/typescript/bin/tsc", "--noEmit")

    assert (checked.returncode, checked.stdout) == (0, "")


def test_a_wrong_use_of_the_types_is_found(node: Node, tmp_path: Path):
    (tmp_path / "wrong.ts").write_text(
        f'import type {{ Summary }} from "{EXAMPLES}/types.js";\n'
        "export const total = (summary: Summary): number => summary.total_pnl * 2;\n"
    )
    checked = node("node_modules/typescript/bin/tsc", "--noEmit", "--strict", tmp_path / "wrong.ts")

    assert checked.returncode != 0
    assert "TS2" in checked.stdout


def test_real_answers_are_values_of_the_types(node: Node, monitor: Shown, tmp_path: Path):
    """As TypeScript literals, where a field too many is an error as well."""
    _, workers = monitor.api.get("/api/v1/workers")
    answers = {"Summary": monitor.api.summary(), "Health": monitor.api.health(), "Workers": workers}
    with monitor.api.stream(timeout_s=60) as stream:
        messages = [next(stream) for _ in range(20)]
    lines = [f'import type {{ Health, Message, Summary, Workers }} from "{EXAMPLES}/types.js";']
    lines += [f"export const a{kind}: {kind} = {json.dumps(answer)};" for kind, answer in answers.items()]
    lines += [f"export const m{i}: Message = {json.dumps(message)};" for i, message in enumerate(messages)]
    (tmp_path / "real.ts").write_text("\n".join(lines))
    checked = node("node_modules/typescript/bin/tsc", "--noEmit", "--strict", tmp_path / "real.ts")

    assert (checked.returncode, checked.stdout) == (0, "")


def test_the_schema_is_made_of_the_types(node: Node, tmp_path: Path):
    made = tmp_path / "messages.json"
    done = node(
        "node_modules/ts-json-schema-generator/bin/ts-json-schema-generator.js",
        *("--path", "types.ts", "--type", "Anything", "--tsconfig", "tsconfig.json"),
        *("--additional-properties", "--no-top-ref", "--out", made),
    )

    assert done.returncode == 0, done.stderr
    kept = (ROOT / "docs" / "schema" / "messages.json").read_text()
    assert json.loads(made.read_text()) == json.loads(kept), "make it anew: npm run schema in docs/examples"


@pytest.mark.parametrize("block", SCRIPTS, ids=lambda block: block.place)
def test_the_typescript_in_a_document_holds(node: Node, tmp_path: Path, block):
    """As if it stood beside the examples."""
    (tmp_path / "node_modules").symlink_to(EXAMPLES / "node_modules")
    (tmp_path / f"shown.{block.language}").write_text(block.text.replace('"./', f'"{EXAMPLES}/'))
    (tmp_path / "tsconfig.json").write_text(
        json.dumps({"extends": f"{EXAMPLES}/tsconfig.json", "include": ["shown.*"]})
    )
    checked = node("node_modules/typescript/bin/tsc", "--noEmit", "--project", tmp_path)

    assert (checked.returncode, checked.stdout) == (0, ""), block.place


@pytest.mark.parametrize("over", ["unix", "tcp"])
def test_status_by_node_shows_what_status_shows(node: Node, monitor: Shown, over: str):
    with monitor.still() as positions:
        said = node("status.mjs", str(monitor.socket) if over == "unix" else monitor.url)
    rows = {line.split("\t")[0]: line.split("\t")[3] for line in said.stdout.splitlines() if "\t" in line}

    assert (said.returncode, said.stderr) == (0, "")
    assert rows == dict.fromkeys(positions, "proven")


def test_status_by_node_without_a_monitor_says_so(node: Node, tmp_path: Path):
    said = node("status.mjs", tmp_path / "none.sock")

    assert said.returncode == 3
    assert "ENOENT" in said.stderr


@pytest.mark.parametrize("over", ["unix", "tcp"])
def test_tail_by_node_goes_on_when_the_tracker_was_killed(node: Node, over: str):
    with shown() as here:
        where = str(here.socket) if over == "unix" else here.url
        with Running(here.folder, EXAMPLES / "tail.mjs", where) as tail:
            until("it prints", lambda: len(tail.lines()) > 5)
            [tracker] = here.pids("tracker")
            os.kill(tracker, signal.SIGKILL)
            until("it begins anew", lambda: "begun anew" in tail.errors())
            known = len(tail.lines())
            until("it prints again", lambda: len(tail.lines()) > known + 5)
            lines = tail.lines()

    starts = [number for number, line in enumerate(lines) if line["type"] == "initial_state"]
    assert len(starts) == 2
    for begin, end in ((starts[0], starts[1]), (starts[1], len(lines))):
        seqs = [line["seq"] for line in lines[begin:end]]
        assert seqs == list(range(seqs[0], seqs[0] + len(seqs))), "no hole"


class Broken:
    """A monitor that leaves out a message, and notes how it is asked again."""

    def __init__(self, first: dict[str, Any], update: dict[str, Any]) -> None:
        self.asked: list[str] = []
        self._first, self._update = first, update

    def __call__(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        self.asked.append(connection.request.path)
        if len(self.asked) in (1, 3):
            connection.send(json.dumps({**self._first, "seq": 100}))
            connection.send(json.dumps({**self._update, "seq": 101}))
        if len(self.asked) == 1:
            return  # a cut: 102 is asked for by ?since=101
        if len(self.asked) == 2:
            connection.send(json.dumps({**self._update, "seq": 104}))
        try:
            for _ in connection:
                pass
        except Exception:  # noqa: BLE001 - the client may cut it
            return


def _asked_by(script: Path, folder: Path, monitor: Shown, *args: str) -> tuple[Broken, str]:
    with monitor.api.stream(timeout_s=60) as stream:
        first = next(stream)
        update = next(one for one in stream if one["type"] == "position_update")
    broken = Broken(first, update)
    with serve(broken, "127.0.0.1", 0, compression=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            port = server.socket.getsockname()[1]
            with Running(folder, script, *(arg.replace("PORT", str(port)) for arg in args)) as running:
                until("it asked three times", lambda: len(broken.asked) >= 3)
            return broken, running.errors()
        finally:
            server.shutdown()
            thread.join(30)


def test_tail_by_node_asks_for_what_came_behind_and_then_for_everything(
    node: Node, monitor: Shown, tmp_path: Path
):
    broken, errors = _asked_by(EXAMPLES / "tail.mjs", tmp_path, monitor, "http://127.0.0.1:PORT")

    path = "/api/v1/positions/stream"
    assert broken.asked[:3] == [path, f"{path}?since=101", path]
    assert "lost 102 to 103" in errors


FOLLOW = """
import WebSocket from 'ws';
import { follow } from './build/follow.js';
follow(process.argv[2], (picture) => {
  const positions = [...picture.positions].map(([name, one]) => [name, one.size, one.verdict]);
  console.log(JSON.stringify({ live: picture.live, problem: picture.problem, positions, seq: picture.seq }));
}, (url) => new WebSocket(url));
"""


def test_the_picture_of_follow_asks_in_the_same_way(monitor: Shown, built: Path, tmp_path: Path):
    script = built / "asked.mjs"
    script.write_text(FOLLOW)
    broken, _ = _asked_by(script, tmp_path, monitor, "ws://127.0.0.1:PORT")

    path = "/api/v1/positions/stream"
    assert broken.asked[:3] == [path, f"{path}?since=101", path]


def test_the_picture_is_that_of_status_and_goes_stale_with_the_monitor(built: Path):
    script = built / "followed.mjs"
    script.write_text(FOLLOW)
    with shown() as here, Running(here.folder, script, here.url.replace("http", "ws")) as following:
        here.control.pace(0)

        def equal() -> bool:
            rows = here.api.summary()["positions"].values()
            wanted = sorted([f"main {row['key']}", row["size"], row["verdict"]] for row in rows)
            lines = following.lines()
            return bool(lines) and lines[-1]["live"] and sorted(lines[-1]["positions"]) == wanted

        until("the same positions", equal)
        assert here.stop() == 0
        here.monitor = None
        until("it is not live", lambda: not following.lines()[-1]["live"])
        last = following.lines()[-1]

    assert last["positions"]
    assert {verdict for _, _, verdict in last["positions"]} == {"stale"}


PAGE = """
import { Window } from 'happy-dom';
import WebSocket from 'ws';
const window = new Window();
for (const name of ['document', 'navigator', 'HTMLElement', 'HTMLIFrameElement', 'Node']) {
  Object.defineProperty(globalThis, name, { value: window[name], configurable: true });
}
globalThis.window = window;
const { createElement } = await import('react');
const { createRoot } = await import('react-dom/client');
const { Positions } = await import('./build/Positions.js');
const place = window.document.createElement('div');
window.document.body.appendChild(place);
const connect = (url) => new WebSocket(url);
createRoot(place).render(createElement(Positions, { base: process.argv[2], connect }));
setInterval(() => {
  const cells = (row) => [...row.children].map((cell) => cell.textContent);
  const rows = [...place.querySelectorAll('tbody tr')].map(cells);
  const status = place.querySelector('[role=status]')?.textContent ?? '';
  console.log(JSON.stringify({ status, rows, text: place.textContent }));
}, 100);
"""


def test_the_react_component_shows_the_positions_and_says_when_they_are_old(built: Path):
    script = built / "page.mjs"
    script.write_text(PAGE)
    with shown() as here, Running(here.folder, script, here.url.replace("http", "ws")) as page:

        def proven() -> bool:
            lines = page.lines()
            return bool(lines) and len(lines[-1]["rows"]) >= 3 and lines[-1]["status"].startswith("healthy")

        until("the table is there", proven)
        row = page.lines()[-1]["rows"][0]
        assert (row[0], row[-1]) == ("main", "proven")
        assert here.stop() == 0
        here.monitor = None
        until("it says so", lambda: page.lines()[-1]["status"].startswith("NOT LIVE"))
        assert {row[-1] for row in page.lines()[-1]["rows"]} == {"stale"}
        assert page.errors() == ""
