"""A `.env` file, read only when `--env-file` names it: NAME=value lines, `export`, quotes, comments.

Nothing is expanded or executed. A mistake names the line by its number alone: the line may hold a secret.
"""

import re
from pathlib import Path

_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")


def read_env_file(path: Path, mistakes: list[str]) -> dict[str, str]:
    """The variables of the file; what cannot be read is added to the mistakes."""
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
    """The value without its quotes or trailing comment; None when a quote is not closed."""
    if text[:1] in ("'", '"'):
        value, closing, rest = text[1:].partition(text[0])
        rest = rest.strip()
        return value if closing and (not rest or rest.startswith("#")) else None
    return re.split(r"(?:^|\s)#", text, maxsplit=1)[0].strip()
