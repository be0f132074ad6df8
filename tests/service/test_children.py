"""Who is given what: a reload replaces those whose needs have changed, and nobody else."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from hlposmon.config import Account, Flags, Settings, load
from hlposmon.config.settings import AuditSettings, PriceSettings, ReconcileSettings, StreamSettings
from hlposmon.errors import ConfigError
from hlposmon.ipc.mailbox import Newest
from hlposmon.service.composition import Composition
from hlposmon.service.places import open_places
from hlposmon.supervision.child import ChildSpec

WORKERS = {"fill", "fill-2", "price", "state", "reconcile"}
Change = Callable[[Settings], Settings]


@pytest.fixture
def settings() -> Iterator[Settings]:
    with TemporaryDirectory(prefix="hlp-") as folder:
        here = Path(folder)
        flags = Flags(addresses=("0x" + "1" * 40,), socket=here / "m.sock", state_dir=here, log_dir=here)
        yield load(flags, {}, root=here)


def _venue(settings: Settings, **changed: object) -> Settings:
    return replace(settings, hyperliquid=replace(settings.hyperliquid, **changed))  # type: ignore[arg-type]


def _and_another(settings: Settings) -> Settings:
    return _venue(settings, accounts=(*settings.hyperliquid.accounts, Account("two", "0x" + "2" * 40)))


def _what_each_is_given(specs: list[ChildSpec]) -> dict[str, tuple[object, ...]]:
    return {spec.name: spec.args for spec in specs if spec.reload == "respawn"}


@pytest.mark.parametrize(
    ("change", "concerned"),
    [
        (lambda s: s, set()),
        (lambda s: replace(s, stream=StreamSettings(s.stream.min_pnl_change * 2)), set()),
        (lambda s: replace(s, audit=AuditSettings("off")), {"history"}),
        (lambda s: replace(s, prices=PriceSettings(2.0)), {"price"}),
        (lambda s: replace(s, reconcile=ReconcileSettings(30.0)), {"reconcile"}),
        (lambda s: _venue(_and_another(s), max_users=1), {"price", "reconcile"}),
        (lambda s: _venue(s, ws_url="ws://other"), {"fill", "fill-2", "price", "state"}),
        (lambda s: _venue(s, api_url="http://other"), {"price", "reconcile"}),
        (lambda s: _venue(s, fill_feeds=3), {"fill-3"}),
        (_and_another, WORKERS),
    ],
)
def test_a_reload_gives_something_else_only_to_those_that_use_it(
    settings: Settings, change: Change, concerned: set[str]
):
    with ExitStack() as stack:
        places = open_places(stack, settings, simulated=False)
        here = stack.enter_context(closing(Composition(places, None, settings)))
        before = _what_each_is_given(here.specs())
        after = _what_each_is_given(here.reload(change(settings)))

    assert set(before) == {*WORKERS, "history"}
    assert {name for name in after if after[name] != before.get(name)} == concerned


def test_a_reload_that_fails_is_told_to_each_tracker_and_to_systemd_until_one_succeeds(settings: Settings):
    def broken() -> Settings:
        raise ConfigError(["hlposmon.toml: prices.interval_s: a number is wanted", "and another"])

    with ExitStack() as stack:
        places = open_places(stack, settings, simulated=False)
        here = stack.enter_context(closing(Composition(places, None, settings)))
        [tracker] = [spec for spec in here.specs() if spec.name == "tracker"]
        told = tracker.args[1]
        assert isinstance(told, Newest)
        with pytest.raises(ConfigError):
            here.reload_from(broken)
        said = "hlposmon.toml: prices.interval_s: a number is wanted; and another"
        assert told.get() == said
        assert here.status_text().endswith(f"; not reloaded: {said}")

        here.reload_from(lambda: settings)
        assert told.get() is None
        assert "not reloaded" not in here.status_text()
