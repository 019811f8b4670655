"""The servers of the bench, each run as a process of its own: `python -m bench.servers.NAME`."""
