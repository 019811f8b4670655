"""The one way out of a sandbox: who may be reached, and what was."""
