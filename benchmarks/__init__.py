"""Benchmarks: ``python -m benchmarks``; what and how, see ``docs/performance.md``."""
