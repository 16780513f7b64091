"""Measures the package against other ways to do the same work: `python -m benchmarks`.

Every module here is one benchmark, which defines `BENCHMARK`; the harness pairs, times, compares and reports.
"""
