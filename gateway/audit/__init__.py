"""The audit log: leaves, tree, heads and proofs in public formats, and the one place that opens a transaction."""
