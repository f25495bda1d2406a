"""The coordinator's HTTP side: authenticate, validate, call the engine, map errors. It decides nothing.

It may import the engine, artifacts, auth, light_client and protocol; never SQL. Routes are grouped by who calls them.
"""
