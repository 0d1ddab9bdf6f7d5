"""What every test room shares: hypothesis profiles."""

from hypothesis import HealthCheck, settings

# No deadline: on two shared cores a slow example says nothing about the code.
settings.register_profile(
    "quick", max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("quick")
