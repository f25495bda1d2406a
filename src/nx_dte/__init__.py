"""nx-dte: self-hosted distributed task execution for Nx on GitLab.

The package's layers and who may import whom stand in pyproject.toml (`tool.importlinter`) and are checked by
`make arch`. Importing this package does no work.
"""

__version__ = "0.1.0"
