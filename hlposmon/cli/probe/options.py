"""The options of `hlposmon health`: one table, used by click and by a parser that does without click.

`parse` accepts only command lines that it is sure of, and returns None for everything else (help, `--`, any
mistake), which click then accepts or explains. Tests ensure that both agree.
"""

from __future__ import annotations

from collections.abc import Sequence

TYPE_CHECKING = False  # typing's, without typing
if TYPE_CHECKING:
    from typing import Any

FLAG, COUNT, TEXT, MANY, SECONDS, CHOICE = "flag", "count", "text", "many", "seconds", "choice"
MIN_S, MAX_S = 0.05, 3600.0


class Option:
    """One option. `name` is the key of its value; `metavar` is shown in the help (`a|b` for a CHOICE)."""

    __slots__ = ("default", "flags", "help", "kind", "metavar", "name")

    def __init__(
        self, name: str, flags: tuple[str, ...], kind: str, text: str, metavar: str = "", default: Any = None
    ) -> None:
        self.name, self.flags, self.kind, self.help = name, flags, kind, text
        self.metavar, self.default = metavar, default


OPTIONS = (
    Option("as_json", ("--json",), FLAG, "The monitor's health as one JSON object.", default=False),
    Option("quiet", ("-q", "--quiet"), FLAG, "Print nothing when all is well.", default=False),
    Option(
        "verbose", ("-v", "--verbose"), COUNT, "Every reason and threshold on a line of its own.", default=0
    ),
    Option(
        "warning", ("-w", "--warning"), MANY, "WARNING when outside; may be repeated.", "METRIC=RANGE", ()
    ),
    Option(
        "critical", ("-c", "--critical"), MANY, "CRITICAL when outside; may be repeated.", "METRIC=RANGE", ()
    ),
    Option("textfile", ("--textfile",), TEXT, "Write figures for node_exporter; ends in .prom.", "PATH"),
    Option("ping_url_file", ("--ping-url-file",), TEXT, "Ping the URL in this file with the result.", "FILE"),
    Option(
        "ping_fail_on",
        ("--ping-fail-on",),
        CHOICE,
        "From which status on the ping tells of a failure.",
        "warning|critical",
        "critical",
    ),
    Option("socket", ("--socket",), TEXT, "The monitor's socket.", "PATH"),
    Option("timeout_s", ("-t", "--timeout"), SECONDS, "Seconds to wait for an answer.", "S", 2.0),
)
_BY_FLAG = {flag: option for option in OPTIONS for flag in option.flags}


def parse(arguments: Sequence[str]) -> dict[str, Any] | None:
    """The value of every option by name, with `thresholds`; None if click has to handle the command line."""
    values = {option.name: option.default for option in OPTIONS}
    rest = list(arguments)
    while rest:
        given = rest.pop(0)
        if given.startswith("--"):
            done = _long(given, rest, values)
        else:
            done = given.startswith("-") and len(given) > 1 and _shorts(given[1:], rest, values)
        if not done:
            return None
    try:
        return checked(_converted(values))
    except ValueError:
        return None


def _converted(values: dict[str, Any]) -> dict[str, Any]:
    """Convert the values, last, since of a repeated option only the last counts. Raises ValueError."""
    for option in OPTIONS:
        value = values[option.name]
        if option.kind == SECONDS and isinstance(value, str):
            values[option.name] = seconds(value)
        if option.kind == CHOICE and value not in option.metavar.split("|"):
            raise ValueError(f"{value!r} is not one of {option.metavar}")
    return values


def checked(values: dict[str, Any]) -> dict[str, Any]:
    """The values with `thresholds` parsed from `warning` and `critical`. Raises ValueError for a mistake."""
    textfile = values["textfile"]
    if textfile is not None and not textfile.endswith(".prom"):
        raise ValueError(f"--textfile {textfile!r}: node_exporter reads only files that end in .prom")
    if not (values["warning"] or values["critical"]):
        return {**values, "thresholds": {}}
    from hlposmon.cli.probe.thresholds import read_thresholds

    return {**values, "thresholds": read_thresholds(values["warning"], values["critical"])}


def seconds(text: str) -> float:
    """Parse a time-out in seconds. Raises ValueError unless it is from MIN_S to MAX_S."""
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a valid float") from None
    if not MIN_S <= value <= MAX_S:  # also rejects nan
        raise ValueError(f"{text} is not in the range {MIN_S:g}<=x<={MAX_S:g}")
    return value


def _long(given: str, rest: list[str], values: dict[str, Any]) -> bool:
    name, has_value, value = given.partition("=")
    option = _BY_FLAG.get(name)
    if option is None:
        return False
    if option.kind in (FLAG, COUNT):
        return not has_value and _take(option, "", values)
    if not has_value:
        if not rest:
            return False
        value = rest.pop(0)
    return _take(option, value, values)


def _shorts(letters: str, rest: list[str], values: dict[str, Any]) -> bool:
    """Parse short options, combined or with a value: `-q`, `-qv`, `-w fills_age=5`, `-qwfills_age=5`."""
    for index, letter in enumerate(letters):
        option = _BY_FLAG.get(f"-{letter}")
        if option is None:
            return False
        if option.kind not in (FLAG, COUNT):
            value = letters[index + 1 :]
            if not value:
                if not rest:
                    return False
                value = rest.pop(0)
            return _take(option, value, values)
        _take(option, "", values)
    return True


def _take(option: Option, value: str, values: dict[str, Any]) -> bool:
    if option.kind == FLAG:
        values[option.name] = True
    elif option.kind == COUNT:
        values[option.name] += 1
    elif option.kind == MANY:
        values[option.name] = (*values[option.name], value)
    else:
        values[option.name] = value
    return True
