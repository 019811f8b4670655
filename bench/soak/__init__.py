"""`make soak`: mixed traffic of both eras while upstreams restart and clients vanish; the exit code is the verdict."""
