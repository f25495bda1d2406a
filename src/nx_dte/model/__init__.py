"""The values everything else talks about: runs, invocations, tasks, leases, agents and what they leave behind.

Pure data: frozen dataclasses, closed enums and nothing that does input or output. It imports the standard
library's pure parts only. What each state means stands in `docs/states.md`, word for word.
"""
