"""A stand-in GitLab: the parts of its API that this project and a GitLab runner touch, with everything in memory.

It is written to GitLab's documented behaviour. What it does not know it refuses by name, so that no test passes by
accident. It imports nothing of the product.

    python -m tests.support.gitlab --listen 127.0.0.1:8080 --repositories FOLDER

`server.StandIn` runs the same in a thread, for tests.
"""
