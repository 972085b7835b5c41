"""Thin registered metrics: collect, call functional, name the result."""
