"""The engine: one event, one transaction. Load what the event touches, decide, persist the facts, then act.

`runner` is that rule; `main_jobs`, `agents` and `cache` are what the API asks for, `queries` what it reads, `reaper`
what time brings. It may import scheduler, store ports, artifacts, auth and telemetry; it never speaks SQL or HTTP.
"""
