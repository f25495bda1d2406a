"""The agent job: `nx-cloud start-agent`, started again after a crash, and ended in order.

`supervise` is a loop over a child, a clock and what the child prints; it knows neither subprocess nor network.
`run_agent` gives it the real ones, after the rerun guard. This package may import `rerun_guard`, `client`, `gitlab`,
`processes`, `nx_commands` and `errors`; tasks are Nx's business, it never runs one.
"""

from nx_dte.agent.job import AgentOptions, run_agent
from nx_dte.agent.limits import Limits
from nx_dte.agent.supervising import Supervisor

__all__ = ["AgentOptions", "Limits", "Supervisor", "run_agent"]
