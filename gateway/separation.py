"""Whether the gateway runs as a user of its own, whose files nothing that runs as somebody else can change."""

import os
from typing import Final

SYSTEM_USERS: Final = 1000
"""Below it are users that nobody logs in as; 0 is not one of them: whoever is root may be anybody."""


def separated() -> bool:
    """False where an agent that can run commands as this user could change policy, keys and log (SHARED-UID)."""
    return 0 < os.geteuid() < SYSTEM_USERS
