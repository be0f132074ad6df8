"""One check: ask the monitor, judge its answer, report. Exit status 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.

A text file that cannot be written or a ping that fails is reported on stderr and changes neither the status
nor stdout. Both are done before the line is printed, since printing may fail on a full disk.
"""

from __future__ import annotations

import os

from hlposmon.cli import stdout
from hlposmon.cli.probe.line import details, error_line, plugin_line
from hlposmon.cli.probe.verdict import CRITICAL, OK, UNKNOWN, Verdict, judge, needs_summary
from hlposmon.client.api import Api
from hlposmon.config.places import UNREAD_CONFIG, find_socket, unread_config
from hlposmon.errors import HlposmonError, MonitorNotRunning, NotPermitted, WireError

TYPE_CHECKING = False  # typing's, without typing
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def run(values: dict[str, Any], before: str | None = None) -> int:
    """Check with these options (`options.parse`), print the result, and return the exit status.

    `before` is the socket given before the command; one in `values` takes precedence. Never raises for an
    error of the check itself: that is UNKNOWN.
    """
    thresholds = values["thresholds"]
    try:
        api = Api(find_socket(values["socket"] or before, os.environ), timeout_s=values["timeout_s"])
        health = api.health()
        verdict = judge(health, _summary(api) if needs_summary(thresholds) else None, thresholds)
        lines = [plugin_line(health, verdict, thresholds)]
    except HlposmonError as error:
        # Without permission, or with an unreadable answer, the state is unknown. A monitor that does not
        # answer is down for all its users.
        code = UNKNOWN if isinstance(error, (NotPermitted, WireError)) else CRITICAL
        said = str(error)
        if isinstance(error, MonitorNotRunning):
            config = unread_config(values["socket"] or before, os.environ)
            said += UNREAD_CONFIG.format(config) if config else ""
        health, verdict, lines = _unanswered(code, said)
    except Exception as error:  # noqa: BLE001 - a traceback would end in 1, which is WARNING
        health, verdict, lines = _unanswered(UNKNOWN, f"the check failed: {type(error).__name__}: {error}")
    if values["verbose"]:
        lines += details(verdict, thresholds)
    text = "".join(f"{line}\n" for line in lines)
    if values["textfile"] is not None:
        _aside("--textfile", lambda: _write_textfile(values["textfile"], health, verdict.code))
    if values["ping_url_file"] is not None:
        _aside("--ping-url-file", lambda: _ping(values, verdict.code, text))
    if not (values["quiet"] and verdict.code == OK):
        stdout.write(_json(health, verdict, thresholds) if values["as_json"] else text)
    return verdict.code


def _summary(api: Api) -> dict[str, Any] | None:
    """The summary, or None if the monitor answers with an error; metrics that need it are then unknown."""
    try:
        return api.summary()
    except HlposmonError:
        return None


def _unanswered(code: int, error: object) -> tuple[dict[str, Any], Verdict, list[str]]:
    health = {"status": "unknown", "running": False, "reasons": [str(error)]}
    return health, Verdict(code, []), [error_line(code, error)]


def _json(health: dict[str, Any], verdict: Verdict, thresholds: dict[str, Any]) -> str:
    import json

    if thresholds:
        health = {**health, "plugin_status": verdict.code, "breaches": verdict.breaches}
    return json.dumps(health, separators=(", ", ": ")) + "\n"


def _write_textfile(path: str, health: dict[str, Any], code: int) -> None:
    import time

    from hlposmon.cli.probe.textfile import exposition, write

    try:
        write(path, exposition(health, code, time.time()))
    except OSError as error:
        say(f"{path} is not written: {(error.strerror or type(error).__name__).lower()}")


def _ping(values: dict[str, Any], code: int, text: str) -> None:
    from hlposmon.cli.probe.ping import send

    fails = code >= (1 if values["ping_fail_on"] == "warning" else 2)
    send(values["ping_url_file"], code if fails else 0, text, say)


def _aside(option: str, call: Callable[[], None]) -> None:
    try:
        call()
    except Exception as error:  # noqa: BLE001 - an extra; the check has its own answer
        say(f"{option} failed: {type(error).__name__}")  # no more: its text might quote the secret


def say(message: str) -> None:
    """One line on stderr, for cron's mail and a plugin's log."""
    stdout.complain(f"hlposmon: {' '.join(message.split())}")
