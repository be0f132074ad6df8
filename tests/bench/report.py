"""docs/performance.md, made of the figures of one run. Nothing in it is written by hand."""

from collections.abc import Iterator
from dataclasses import dataclass

from tests.bench.contestants import NAMES, NOTES, SHOWN
from tests.bench.scenarios import SCENARIOS, Figures, medians
from tests.bench.service import Results

Of = dict[str, Figures]


@dataclass(frozen=True, slots=True)
class Limit:
    """What has to hold of the monitor: at most `most`, or `times` the relay's; `ahead` of others."""

    scenario: str
    figure: str
    most: float | None = None
    times: float | None = None
    ahead: bool = False


LIMITS = (
    Limit("idle", "p50 us", times=2.0, ahead=True),
    Limit("idle", "p99 us", times=3.0, ahead=True),
    Limit("prices-1hz", "p50 us", times=2.3, ahead=True),
    Limit("prices-1hz", "p99 us", times=4.0, ahead=True),
    Limit("prices-10hz", "p50 us", times=2.3, ahead=True),
    Limit("prices-10hz", "p99 us", times=4.0, ahead=True),
    Limit("burst", "last ms", most=150.0),
    Limit("burst", "cpu s per 1000", most=0.5),
    Limit("hour", "cpu s per hour", most=72.0),
    Limit("memory-1", "pss MiB", most=110.0),
    Limit("many", "fill, times that of one position", most=1.5),
    Limit("many", "percent of a core, prices at 1 Hz", most=5.0),
    Limit("many", "summary ms", most=50.0),
    Limit("many", "health ms", most=50.0),
)
MORE_PER_100_MIB = 1.0
# Figures that begin like those of one process.
TOTALS = ("s per 1000", "s per hour", "MiB")
HEAD = (
    ("idle", "p50 us", "fill to client, idle, p50, us"),
    ("idle", "p99 us", "the same, p99"),
    ("idle", "callback p50 us", "of it until the program's own callback, p50, us"),
    ("prices-1hz", "p50 us", "100 positions, 500 coins at 1 Hz, p50, us"),
    ("prices-1hz", "p99 us", "the same, p99"),
    ("prices-1hz", "callback p50 us", "of it until the program's own callback, p50, us"),
    ("prices-10hz", "p50 us", "the same with 5000 price changes a second, p50, us"),
    ("prices-10hz", "p99 us", "the same, p99"),
    ("prices-10hz", "callback p50 us", "of it until the program's own callback, p50, us"),
    ("burst", "last ms", "burst of 1000 fills, the last one, ms"),
    ("burst", "cpu s per 1000", "processor s per 1000 fills of it, all processes"),
    ("hour", "cpu s per hour", "processor s an hour, 10 positions, prices at 1 Hz"),
    ("hour-100", "cpu s per hour", "the same with 100 positions"),
    ("memory-1", "pss MiB", "memory (PSS), MiB, 1 position"),
    ("memory-100", "pss MiB", "100 positions"),
    ("memory-1000", "pss MiB", "1000 positions"),
    ("start", "1 position s", "start until it may be asked, s (the monitor: until all is proven)"),
)
PACED = ("idle", "one-1hz", "one-10hz", "hundred", "prices-1hz", "prices-10hz", "thousand", "thousand-1hz")
CROWDS = ("idle", "clients-100", "clients-1000")


def page(results: Results, parts: dict[str, str]) -> str:
    """The whole page; `parts` is what the other scripts printed, by name."""
    return "\n".join(_lines(results, parts)) + "\n"


def _lines(results: Results, parts: dict[str, str]) -> Iterator[str]:
    about = results.about
    of = {
        name: {one: medians(rows) for one, rows in found.items()} for name, found in results.figures.items()
    }
    yield "# Performance"
    yield ""
    yield (
        f"Written by `make bench` on {about['measured']} at commit {about['commit']}; raw figures:"
        " [performance.json](performance.json)."
    )
    machine = about["machine"]
    yield f"Machine: {', '.join(machine[name] for name in ('processors', 'memory', 'kernel', 'python'))}."
    yield from _how(results)
    yield from _head(of, about["rounds"])
    yield from _limits(of)
    yield from _table(
        of, PACED, ("p50 us", "p99 us", "cpu s per 1000"), "Fill to client, by positions and prices"
    )
    yield from _table(of, CROWDS, ("p50 us", "p99 us", "cpu s per 1000"), "Fill to client, by clients")
    yield from _alone(of, "snapshot", "The snapshot, read under load")
    yield from _alone(of, "many", "300 accounts of 50 positions, the tracker alone")
    yield from _alone(of, "start", "Start until proven")
    yield from _by_process(of, "burst", "cpu", "Processor s per 1000 fills of a burst, by process")
    yield from _by_process(
        of, "hour", "cpu", "Processor s an hour (10 positions, prices at 1 Hz), by process"
    )
    yield from _by_process(of, "memory-1", "pss", "Memory (PSS, MiB) at one position, by process")
    for name, said in parts.items():
        yield from ("", f"## Parts on their own: {name}", "", "```", said.rstrip(), "```")
    if results.failures:
        yield from ("", "## What could not be measured", "", *(f"* {text}" for text in results.failures))


def _how(results: Results) -> Iterator[str]:
    about = results.about
    yield from ("", "## How it is measured", "")
    yield (
        "A scripted exchange, what is measured, and one client are processes of their own on one machine."
        " A fill is timed by CLOCK_MONOTONIC from just before the exchange sends it until the client has the"
        " message in hand, over a Unix socket. The others have only a callback, which sends each fill on to"
        " such a client; when the callback itself had it is said beside it."
        ' hlposmon runs whole, with two feeds of fills, `fsync = "batch"`, journal, history and snapshot;'
        " each fill is sent to both feeds. The relay is two processes of the same libraries"
        " (websocket-client, SEQPACKET and orjson, wsproto) that hand fills on and prove nothing: it is what"
        " the machine allows."
    )
    yield ""
    yield (
        f"Medians of {about['rounds']} interleaved rounds with {about['fills']} fills each; prices alone are"
        f" measured for {about['idle_s']:g} s. Processor time is that of all processes of the tree; after a"
        " burst it is counted until the tree is quiet."
    )
    yield ""
    for name, version in about["versions"].items():
        yield f"* {SHOWN.get(name, name)} ({version}): {NOTES[name]}."
    for name, reason in about["skipped"].items():
        yield f"* {SHOWN.get(name, name)} is not in it: {reason}."


def _head(of: dict[str, Of], rounds: int) -> Iterator[str]:
    names = [name for name in NAMES if any(name in found for found in of.values())]
    yield from ("", f"## Beside others (medians of {rounds} rounds; in brackets the ratio to the relay)", "")
    yield "| | " + " | ".join(SHOWN.get(name, name) for name in names) + " |"
    yield "|---" * (len(names) + 1) + "|"
    for scenario, figure, title in HEAD:
        found = of.get(scenario, {})
        cells = [_cell(found, name, figure) for name in names]
        if any(cells):
            yield f"| {title} | " + " | ".join(cells) + " |"


def _cell(found: Of, name: str, figure: str) -> str:
    value, base = found.get(name, {}).get(figure), found.get("relay", {}).get(figure)
    if value is None:
        return ""
    ratio = f" ({value / base:.1f})" if name == "hlposmon" and base else ""
    return f"{number(value)}{ratio}"


def number(value: float) -> str:
    """Three significant digits, without an exponent."""
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def verdicts(of: dict[str, Of]) -> Iterator[tuple[str, str, str, bool]]:
    """What has to hold, what is allowed, what was measured, and whether it holds."""
    for limit in LIMITS:
        found = of.get(limit.scenario, {})
        ours = found.get("hlposmon", {}).get(limit.figure)
        if ours is None:
            continue
        title = f"{SCENARIOS[limit.scenario].title}: {limit.figure}"
        base = found.get("relay", {}).get(limit.figure)
        if limit.times is not None and base:
            yield (
                title,
                f"{limit.times:g} times the relay",
                f"{ours / base:.2f} times",
                ours <= limit.times * base,
            )
        if limit.most is not None:
            yield title, f"{limit.most:g}", number(ours), ours <= limit.most
        for other in ("ccxt", "nautilus") if limit.ahead else ():
            theirs = found.get(other, {}).get(limit.figure)
            if theirs is not None:
                yield (
                    title,
                    f"less than {SHOWN.get(other, other)}: {number(theirs)}",
                    number(ours),
                    ours < theirs,
                )
    few, many = (of.get(f"memory-{count}", {}).get("hlposmon", {}).get("pss MiB") for count in (1, 1000))
    if few is not None and many is not None:
        more = (many - few) / 9.99
        title = "memory: MiB more for each 100 positions, between 1 and 1000"
        yield title, f"{MORE_PER_100_MIB:g}", number(more), more <= MORE_PER_100_MIB


def _limits(of: dict[str, Of]) -> Iterator[str]:
    yield from ("", "## What has to hold", "", "| what | at most | measured | |", "|---|---|---|---|")
    for title, allowed, measured, holds in verdicts(of):
        yield f"| {title} | {allowed} | {measured} | {'holds' if holds else '**missed**'} |"


def _table(
    of: dict[str, Of], scenarios: tuple[str, ...], figures: tuple[str, ...], title: str
) -> Iterator[str]:
    yield from ("", f"## {title}", "")
    yield (
        "| | "
        + " | ".join(f"{figure}, {name}" for figure in figures for name in ("relay", "hlposmon"))
        + " |"
    )
    yield "|---" * (2 * len(figures) + 1) + "|"
    for scenario in scenarios:
        found = of.get(scenario, {})
        cells = [_cell(found, name, figure) for figure in figures for name in ("relay", "hlposmon")]
        if any(cells):
            yield f"| {SCENARIOS[scenario].title} | " + " | ".join(cells) + " |"


def _alone(of: dict[str, Of], scenario: str, title: str) -> Iterator[str]:
    found = of.get(scenario, {}).get("hlposmon")
    if found:
        yield from ("", f"## {title}", "", f"{SCENARIOS[scenario].title}.", "", "| | hlposmon |", "|---|---|")
        yield from (f"| {figure} | {number(value)} |" for figure, value in found.items())


def _by_process(of: dict[str, Of], scenario: str, prefix: str, title: str) -> Iterator[str]:
    found = of.get(scenario, {}).get("hlposmon", {})
    rows = {
        name.removeprefix(f"{prefix} "): value
        for name, value in found.items()
        if name.startswith(f"{prefix} ")
    }
    shares = {name: value for name, value in rows.items() if name not in TOTALS}
    if shares:
        yield from (
            "",
            f"## {title}",
            "",
            "| " + " | ".join(shares) + " | sum |",
            "|---" * (len(shares) + 1) + "|",
        )
        total = number(sum(shares.values()))
        yield "| " + " | ".join(number(value) for value in shares.values()) + f" | {total} |"
