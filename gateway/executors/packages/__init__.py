"""What a command means, and the packages that servers come in: resolved once, pinned, installed."""
