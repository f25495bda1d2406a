"""Reads a `.gitlab-ci.yml`: YAML with `!reference`, `extends`, `default`; rules; expressions; one value per job."""
