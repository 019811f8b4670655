"""A real server over its standard streams: `python real.py sdk2|sdk1|fastmcp_server`, in that server's environment."""

import importlib
import logging
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "servers"))
    logging.disable()
    server = importlib.import_module(sys.argv[1]).server
    if sys.argv[1] == "fastmcp_server":
        server.run(transport="stdio", show_banner=False)
    else:
        server.run(transport="stdio")
