"""Builds and encodes metric families; the only module that imports prometheus_client.

Only here, as the last step of display, does an amount become a float. An unknown value (None) gets no sample:
a missing sample is better than a wrong zero.
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
    """Return a gauge with the help `text` and one sample per row (label values, value); None is skipped."""
    family = GaugeMetricFamily(name, text, labels=labels)
    for label, value in rows:
        if value is not None:
            family.add_metric(label, float(value))
    return family


def counter(name: str, text: str, labels: tuple[str, ...], rows: Iterable[Row]) -> Metric:
    """Return a counter, as `gauge` does; `name` comes without the suffix `_total`, which is added."""
    family = CounterMetricFamily(name, text, labels=labels)
    for label, value in rows:
        if value is not None:
            family.add_metric(label, float(value))
    return family


def single(name: str, text: str, value: Value) -> Metric:
    """Return a gauge without labels, with one sample, or none if `value` is None."""
    return gauge(name, text, (), [((), value)])


def histogram(name: str, text: str, spread: Spread) -> Metric:
    """Return a histogram of `spread`, in seconds, without labels."""
    return HistogramMetricFamily(name, text, buckets=spread.buckets(), sum_value=spread.sum_s)


def process() -> Iterator[Metric]:
    """Yield the standard `process_*` metrics of this process: CPU time, memory, descriptors, start time."""
    yield from ProcessCollector(registry=None).collect()


class _Families:
    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = list(metrics)

    def collect(self) -> Iterator[Metric]:
        return iter(self._metrics)


def exposition_of(metrics: Iterable[Metric], accept: str) -> tuple[str, bytes]:
    """Encode the metrics; return the content type and the text.

    `accept` is the request's Accept header: OpenMetrics 1.0.0 if it names that, else the text format 0.0.4.
    """
    # Do not pass `accept` on: the library copies a version that it names into the response header.
    wanted = f"{OPENMETRICS}; version=1.0.0" if OPENMETRICS in accept.lower() else ""
    encode, content_type = choose_encoder(wanted)
    registry = CollectorRegistry()
    registry.register(_Families(metrics))
    return content_type, encode(registry)
