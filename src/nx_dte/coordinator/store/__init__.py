"""The store: the database, which is the only truth.

`base` is the port that engine, auth and API know; `sql` is its implementation with SQLAlchemy Core, wired in
`coordinator.app` only. The store decides nothing: it loads values, writes values, and lets the database's constraints
guard what matters.
"""
