"""The endpoints, one module for each caller: runners, people and scripts, jobs, git, and tests."""
