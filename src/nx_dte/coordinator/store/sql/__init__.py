"""The store on SQLAlchemy Core: SQLite (embedded) or PostgreSQL, by URL. All SQL of the project lives here.

`tables` is the schema, `mapping` turns rows into model values and back, `reads` and `writes` hold the named
statements, `dialect` everything in which the two databases differ, `writer` the group commit.
"""
