"""Examples that run: each is executed by the test suite."""
