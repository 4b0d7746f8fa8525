"""What a benchmark ran on; imports nothing of the service, so that training is measured where it alone is installed."""

import os
import platform


def describe_machine() -> str:
    """The figures that results depend on."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return f"{os.cpu_count()} cores, load {load}, {platform.platform()}, Python {platform.python_version()}"
