"""Hypothesis, moderate by default; `HYPOTHESIS_PROFILE=long` for more."""

import os

from hypothesis import HealthCheck, settings

_CALM = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("domain", max_examples=60, deadline=None, suppress_health_check=_CALM)
settings.register_profile("long", max_examples=2000, deadline=None, suppress_health_check=_CALM)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "domain"))
