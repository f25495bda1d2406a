"""The checkout with recording tools and the servers are those of the main job's tests."""

from tests.integration.orchestrator.conftest import checkout, foreign, ours, repository

__all__ = ["checkout", "foreign", "ours", "repository"]
