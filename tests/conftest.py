"""What holds for every test."""

from hypothesis import HealthCheck, settings

# No test measures time: an example may be slow on a busy machine and still be right.
settings.register_profile(
    "deploymark",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
settings.load_profile("deploymark")
