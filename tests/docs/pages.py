"""What stands in the documents: their links, fenced blocks and command lines.

A comment above a fence marks a block for a test: `<!-- test: run -->`, `<!-- test: run 5 s -->`,
`<!-- test: Summary -->`. A page as it is read shows nothing of it.
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path
    for folder in (ROOT, ROOT / "docs")
    for path in folder.glob("*.md" if folder == ROOT else "**/*.md")
    if "node_modules" not in path.parts
)
MANUALS = sorted((ROOT / "man").glob("*.[1-8]"))
UNITS = sorted(path for path in (ROOT / "systemd").rglob("*") if path.is_file())

_FENCE = re.compile(
    r"(?:^<!-- test: (?P<mark>.+?) -->\n)?^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_INLINE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)
_SHELLS = ("console", "sh", "bash")


@dataclass(frozen=True)
class Block:
    """One fenced block; `line` is the number of its first line, `mark` is for tests."""

    page: Path
    line: int
    language: str
    mark: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    def commands(self) -> list[str]:
        """The shell's lines; of a console what is typed, with what goes on after a backslash."""
        text = self.text.replace("\\\n", " ")
        if self.language != "console":
            return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
        return [line[2:] for line in text.splitlines() if line.startswith("$ ")]


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text()
    for found in _FENCE.finditer(text):
        line = text.count("\n", 0, found.start("text")) + 1
        yield Block(page, line, found["language"], found["mark"] or "", found["text"])


def all_blocks() -> list[Block]:
    return [block for page in PAGES for block in blocks(page)]


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return _FENCE.sub("", page.read_text())


def links(page: Path) -> list[str]:
    return _LINK.findall(_INLINE.sub("", prose(page)))


def anchors(page: Path) -> set[str]:
    """Where a link into the page may point: its headings, as GitHub spells them."""
    found: set[str] = set()
    for heading in _HEADING.findall(prose(page)):
        words = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower())
        slug = words.strip().replace(" ", "-")
        number = next(n for n in range(len(found) + 1) if (f"{slug}-{n}" if n else slug) not in found)
        found.add(f"{slug}-{number}" if number else slug)
    return found


def command_lines() -> Iterator[tuple[str, str]]:
    """(place, line) of all that a reader may type, in pages, manuals and units."""
    for block in all_blocks():
        if block.language in _SHELLS:
            for line in block.commands():
                yield block.place, line
    for page in PAGES:
        for code in _INLINE.findall(prose(page)):
            yield page.name, code
    for manual in MANUALS:
        for line in manual.read_text().splitlines():
            if found := re.match(r"(?:\.Dl )?(?:[$#] )?((?:sudo )?hlposmon .+)", line):
                yield manual.name, found[1].replace("\\-", "-").replace("\\&", "")
    for unit in UNITS:
        for line in unit.read_text().splitlines():
            if found := re.match(r"Exec\w+=[-+!@:]*(.+)", line):
                yield unit.name, found[1]


def simple_commands(line: str) -> Iterator[list[str]]:
    """The words of each command in a line of shell; redirections and comments left out."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>()")
    lexer.whitespace_split = True
    words: list[str] = []
    try:
        tokens = list(lexer)
    except ValueError:
        return  # no shell: an unbalanced quote
    for number, token in enumerate(tokens):
        if set(token) <= set("|&;()"):
            yield words
            words = []
        elif _redirects(token):
            if words and words[-1].isdigit():
                words.pop()  # its descriptor
        elif not (number and _redirects(tokens[number - 1])):
            words.append(token)
    yield words


def _redirects(token: str) -> bool:
    return set(token) <= set("<>&") and bool(set(token) & set("<>"))


def typed(line: str, program: str) -> Iterator[list[str]]:
    """The arguments of each call of a program in a line of shell."""
    for words in simple_commands(line):
        rest = list(words)
        while rest and (re.match(r"\w+=", rest[0]) or rest[0] in ("sudo", "exec", "watch", "time")):
            by_sudo = rest.pop(0) == "sudo"
            while by_sudo and rest[:1] in (["-u"], ["-g"]):
                rest = rest[2:]
        if len(rest) > 1 and rest[0].rpartition("/")[2] == program:
            yield [word for word in rest[1:] if word not in ("…", "...")]


def complaint(program: click.Command, arguments: list[str]) -> str | None:
    """What click has against a command line, its values left out; None when it would take it."""
    command, context = program, click.Context(program, info_name=program.name, **program.context_settings)
    rest = arguments
    try:
        while isinstance(command, click.Group):
            given, rest, _ = command.make_parser(context).parse_args(rest)
            if not rest:
                return None if given else f"{command.name} wants a command"
            name, found, rest = command.resolve_command(context, rest)
            if found is None:
                return f"no command {name}"
            command, context = found, click.Context(found, info_name=name, parent=context)
        given, rest, _ = command.make_parser(context).parse_args(rest)
    except click.UsageError as error:
        return error.format_message()
    wanted = [one for one in command.params if isinstance(one, click.Argument)]
    rest = [word for word in rest if not re.fullmatch(r"\$\w+", word)]  # options that stand elsewhere
    if rest and not wanted:
        return f"{command.name} takes no argument: {rest}"
    for one in command.params:
        value = given.get(one.name or "")
        if isinstance(one.type, click.Choice) and isinstance(value, str) and value not in one.type.choices:
            return f"{one.opts[0]} is one of {list(one.type.choices)}, not {value}"
    return None
