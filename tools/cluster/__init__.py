# SPDX-License-Identifier: EUPL-1.2
"""A region of several hosts on one machine, for the demo, tests and conformance: see cluster.py."""
from .cluster import Cluster  # noqa: F401
