"""The checks of the lint, by what would go wrong. Each is a pure function from a `Cast` to its findings."""
