"""The durable state of one call."""
