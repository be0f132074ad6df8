"""Log lines: one fact a line, as `key=value` text or as JSON, to stderr or appended to a file.

    2026-11-20T10:00:00.123Z INFO fill connected url=wss://...

Logging never waits for a slow or absent reader (`supervision.overflow`). Under the journal (JOURNAL_STREAM
names our stderr) a line carries systemd's <N> priority, and a text line has no time, since the journal adds
its own. Text from outside cannot forge a line, send control characters to a terminal, or exceed the journal's
LineMax (48 KiB, journald.conf(5)). The user and the query of a URL are removed, as they may be credentials.
Never in here: the decision what to log.
"""

import json
import logging
import math
import os
import re
import sys
from collections.abc import Hashable
from dataclasses import dataclass
from datetime import UTC, datetime
from logging.handlers import WatchedFileHandler
from typing import Any, Literal, TextIO

from hlposmon.supervision import overflow

Format = Literal["text", "json"]
REMEMBERED = 256
# Limits: characters of a message or value, characters of a line, lines of a traceback. The excess is counted.
VALUE_CHARS = 2_000
LINE_CHARS = 8_000
TRACE_LINES = 60
# The user part and the query of a URL may contain a password or a key.
_CREDENTIALS = re.compile(r"(?<=://)[^\s/?#@\"']*@|(?<=[^\s\"']\?)[^\s?\"'<>]*=[^\s\"'<>]*")


@dataclass(frozen=True, slots=True)
class LogSettings:
    """How every process of the service logs. `level` is a logging level's name; `file` None is stderr."""

    level: str = "INFO"
    file: str | None = None
    fmt: Format = "text"


def configure(
    level: str,
    *,
    name: str,
    stream: TextIO | None = None,
    file: str | os.PathLike[str] | None = None,
    fmt: Format = "text",
) -> None:
    """Send this process's log to `file`, else to `stream`, else to stderr. `name` is the name of the process.

    Replaces all earlier handlers. Raises ValueError for an unknown level and OSError for a file that cannot
    be opened.
    """
    handler: logging.Handler
    if file is not None:
        handler = WatchedFileHandler(file, encoding="utf-8")  # follows logrotate without being told
    else:
        handler = overflow.handler_for(stream or sys.stderr)
    journal = file is None and is_journal(stream or sys.stderr)
    handler.setFormatter(
        JsonLines(name, journal=journal) if fmt == "json" else TextLines(name, journal=journal)
    )
    root = logging.getLogger()
    root.setLevel(level.upper())
    _let_go()
    root.addHandler(handler)


def forget() -> None:
    """Drop the log handlers in a forked child. The parent writes the lines that are still held."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, overflow.Overflow):
            handler.forget()
    _let_go()


def finish() -> None:
    """Flush the last lines, waiting up to `overflow.PATIENCE_S`; for a process that ends with os._exit."""
    for handler in logging.getLogger().handlers:
        handler.flush()


def _let_go() -> None:
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()


def fields(**values: Any) -> dict[str, dict[str, Any]]:
    """The facts of a line: `log.info("connected", extra=fields(url=url, attempt=3))`."""
    return {"fields": values}


def pair(key: str, value: Any) -> str:
    """`key=value`, cleaned by `clean`. The value is quoted if it is empty or holds a space, a quote, an
    equals sign, a backslash or a control character."""
    text = "" if value is None else clean(str(value))
    plain = text.isprintable() and not any(c in ' "=\\' for c in text)
    return f"{key}={text if plain and text else _escaped(json.dumps(text, ensure_ascii=False))}"


def clean(text: str, most: int = VALUE_CHARS) -> str:
    """The text with URL credentials replaced by `...` and cut to `most` characters."""
    return _cut(_CREDENTIALS.sub("...", text[: 2 * most]), most, len(text))


def _cut(text: str, most: int, length: int) -> str:
    return text if max(len(text), length) <= most else f"{text[:most]}...({length} characters)"


def _escaped(text: str) -> str:
    """Escape line ends, terminal control characters and marks that reverse the writing direction."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _trace(lines: list[str]) -> list[str]:
    """The lines of a traceback; a long one is reduced to its beginning and its end."""
    if len(lines) > TRACE_LINES:
        half = TRACE_LINES // 2
        lines = [*lines[:half], f"... {len(lines) - 2 * half} lines ...", *lines[-half:]]
    return [clean(line) for line in lines]


class TextLines(logging.Formatter):
    """`time level process message key=value ...`; the lines of a traceback follow, indented."""

    def __init__(self, name: str, *, journal: bool) -> None:
        super().__init__()
        self._name = name
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        said = " ".join(clean(record.getMessage()).split("\n"))
        facts = [pair(key, value) for key, value in getattr(record, "fields", {}).items()]
        head = [] if self._journal else [_stamp(record)]
        line = " ".join([*head, record.levelname, self._name, said, *facts])
        lines = [_cut(_escaped(line), LINE_CHARS, len(line))]
        if record.exc_info:
            # Split at "\n" only, as the journal does; other line ends are escaped.
            lines += ["  " + line for line in _trace(self.formatException(record.exc_info).split("\n"))]
        return "\n".join(_mark(record, journal=self._journal) + _escaped(line) for line in lines)


class JsonLines(logging.Formatter):
    """One object a line: time, level, process, message, then the facts under their own keys."""

    def __init__(self, name: str, *, journal: bool = False) -> None:
        super().__init__()
        self._name = name
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        line = {key: _jsonable(value) for key, value in getattr(record, "fields", {}).items()}
        line |= {"time": _stamp(record), "level": record.levelname, "process": self._name}
        line["message"] = clean(record.getMessage())
        if record.exc_info:
            line["exception"] = "\n".join(_trace(self.formatException(record.exc_info).split("\n")))
        text = json.dumps(line, ensure_ascii=True)
        if len(text) > 2 * LINE_CHARS:
            kept = ("time", "level", "process", "message")
            text = json.dumps({name: line[name] for name in kept} | {"cut": len(text)})
        return _mark(record, journal=self._journal) + text


def _jsonable(value: Any) -> Any:
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, list | tuple):
        return [_jsonable(one) for one in value[:100]]
    return clean(str(value))


def _mark(record: logging.LogRecord, *, journal: bool) -> str:
    return f"<{_priority(record.levelno)}>" if journal else ""


class Repeats:
    """Rate limit for repeated messages: log the first one, then at most one every `every_s` seconds.

    The count of suppressed ones goes with the next one logged. With `every_s` = 60 and a fault at 0, 10, 20
    and 70 s, the lines at 0 and 70 s are logged, the second with `repeated=2`.
    """

    def __init__(self, every_s: float = 60.0) -> None:
        self._every_s = every_s
        self._said: dict[Hashable, tuple[float, int]] = {}

    def admit(self, key: Hashable, now: float) -> int | None:
        """Return how many events with this key were suppressed since the last admitted one, if this one may
        be logged; else count it and return None. `now` is in seconds of a monotonic clock."""
        said_at, unsaid = self._said.pop(key, (float("-inf"), 0))
        if now - said_at < self._every_s:
            self._said[key] = (said_at, unsaid + 1)
            return None
        self._said[key] = (now, 0)
        if len(self._said) > REMEMBERED:
            del self._said[next(iter(self._said))]  # the key that has been quiet longest
        return unsaid

    def log(
        self,
        logger: logging.Logger,
        level: int,
        message: str,
        *,
        now: float,
        key: Hashable = None,
        **values: Any,
    ) -> None:
        """Log `message` if `admit` allows it, with the number of suppressed repetitions as `repeated`.

        Messages are counted by `key`, or by their text if it is None.
        """
        unsaid = self.admit(message if key is None else key, now)
        if unsaid is not None:
            logger.log(level, message, extra=fields(**values, **({"repeated": unsaid} if unsaid else {})))


def _stamp(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _priority(level: int) -> int:
    # syslog(3): 2 critical, 3 error, 4 warning, 6 informational, 7 debug
    floors = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
    return next((priority for floor, priority in floors if level >= floor), 7)


def is_journal(stream: TextIO) -> bool:
    """Whether the stream goes to systemd's journal (JOURNAL_STREAM, systemd.exec(5))."""
    # systemd sets the variable for the whole unit, so a redirected stream has to be told apart by device and
    # inode.
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError, AttributeError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"
