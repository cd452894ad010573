"""Fixtures for tests with JAX, which runs here on two devices of the CPU."""

import os

# Read by JAX when it is first used.
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
