"""Fault injection with real processes: `python -m tests.chaos`. See docs/chaos.md.

A round runs one pipeline of the example workspace (a main job, some agents, a coordinator) through misbehaving
proxies while a schedule of faults, drawn from a seed, is carried out; then every promise is checked against plain nx.
"""
