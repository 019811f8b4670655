"""`make bench`: the gateway beside a floor, its own bare form and other proxies, interleaved in one run."""
