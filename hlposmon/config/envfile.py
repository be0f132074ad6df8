"""Reads a `.env` file that `--env-file` names: NAME=value lines, `export`, quotes, comments.

Nothing is expanded or executed. A mistake gives only the line number, since the line may hold a secret.
"""

import re
from pathlib import Path

_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")


def read_env_file(path: Path, mistakes: list[str]) -> dict[str, str]:
    """The variables of the file by name. Problems are added to `mistakes`; an unreadable file yields none."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "bytes that are no UTF-8"
        mistakes.append(f"{path}: found {reason}, wanted a file of NAME=value lines")
        return {}
    variables: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = _LINE.fullmatch(stripped)
        value = _unquoted(match[2]) if match else None
        if match is None or value is None:
            mistakes.append(f"{path}: line {number}: found something else (not shown), wanted NAME=value")
            continue
        variables[match[1]] = value
    return variables


def _unquoted(text: str) -> str | None:
    """The value without quotes and trailing comment; None if a quote is not closed or text follows it."""
    if text[:1] in ("'", '"'):
        value, closing, rest = text[1:].partition(text[0])
        rest = rest.strip()
        return value if closing and (not rest or rest.startswith("#")) else None
    return re.split(r"(?:^|\s)#", text, maxsplit=1)[0].strip()
