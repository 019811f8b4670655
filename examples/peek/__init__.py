"""A server that reads any file it is asked for."""
