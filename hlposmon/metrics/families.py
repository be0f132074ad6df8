"""Families of figures as Prometheus wants them, and their text. prometheus_client's door.

Here alone, as the last step of display, an amount becomes a float. A figure that is not known has no row:
nothing is said of it rather than a zero.
"""

from collections.abc import Iterable, Iterator
from decimal import Decimal

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.process_collector import ProcessCollector

from hlposmon.metrics.measures import Spread

__all__ = ["Metric", "counter", "exposition_of", "gauge", "histogram", "process", "single"]

Value = Decimal | float | str | None
Row = tuple[tuple[str, ...], Value]
OPENMETRICS = "application/openmetrics-text"


def gauge(name: str, text: str, labels: tuple[str, ...], rows: Iterable[Row]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for label, value in rows:
        if value is not None:
            family.add_metric(label, float(value))
    return family


def counter(name: str, text: str, labels: tuple[str, ...], rows: Iterable[Row]) -> Metric:
    """`name` without its `_total`, which is added."""
    family = CounterMetricFamily(name, text, labels=labels)
    for label, value in rows:
        if value is not None:
            family.add_metric(label, float(value))
    return family


def single(name: str, text: str, value: Value) -> Metric:
    """A gauge without labels."""
    return gauge(name, text, (), [((), value)])


def histogram(name: str, text: str, spread: Spread) -> Metric:
    return HistogramMetricFamily(name, text, buckets=spread.buckets(), sum_value=spread.sum_s)


def process() -> Iterator[Metric]:
    """The standard figures of this process: processor time, memory, descriptors, start time."""
    yield from ProcessCollector(registry=None).collect()


class _Families:
    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = list(metrics)

    def collect(self) -> Iterator[Metric]:
        return iter(self._metrics)


def exposition_of(metrics: Iterable[Metric], accept: str) -> tuple[str, bytes]:
    """The content type and the text, as `accept` wants it: OpenMetrics 1.0.0, or the text format 0.0.4."""
    # Not handed on as it came: the library puts a version that it names into the answer's header.
    wanted = f"{OPENMETRICS}; version=1.0.0" if OPENMETRICS in accept.lower() else ""
    encode, content_type = choose_encoder(wanted)
    registry = CollectorRegistry()
    registry.register(_Families(metrics))
    return content_type, encode(registry)
