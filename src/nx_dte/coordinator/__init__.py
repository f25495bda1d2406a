"""The coordinator: the server that hands out the light client, schedules tasks and carries their outputs.

Inside: `api` (HTTP) calls `engine` (one event, one transaction), which asks `scheduler` (pure) and keeps facts in
`store`, bytes in `artifacts`, and knows callers by `auth`. Only `app` wires them together. It never runs a task.
"""
