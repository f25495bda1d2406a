"""Measurements, each a module with a `run()` that prints its figures and how they were taken."""
