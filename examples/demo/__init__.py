"""The demonstration behind `make run`: the gateway in front of a real server, played against as a real client."""
