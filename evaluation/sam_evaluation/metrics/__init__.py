"""Metrics: pure functions on masks."""
