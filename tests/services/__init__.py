"""Real services for tests, each a direct child of the test's process on a free port of the loopback address."""
