"""What all tests share: how hypothesis runs."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# A slow machine is not a failure, so there is no deadline; what is found is found again, so there is no database.
settings.register_profile(
    "drakit", deadline=None, database=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("drakit")
