"""A small GitLab runner: asks for jobs, runs their scripts in a shell, sends traces, artifacts and how they ended.

It follows what was measured of the real one where this project depends on it: one bash for a job's script, everything
in one session; a cancelled job's processes are told at once and killed seconds later; artifacts go before the last of
the trace and the final state. It imports nothing of the product and nothing of the stand-in GitLab.

    python -m tests.support.runner run --config FILE
"""
