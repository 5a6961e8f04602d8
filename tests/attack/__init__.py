"""Hostile requests against a real server; `make attack` runs them."""
