"""One module per noun: what an event does to a run, an invocation, a task, a lease, an agent.

Lower modules know nothing of higher ones: `run` ends commands and runs, `task` ends tasks, `lease` grants and takes
back, `invocation` submits, settles and cancels, `agent` joins, claims and leaves, `report` accepts or refuses,
`deadline` acts on what time brings.
"""
