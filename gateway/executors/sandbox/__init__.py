"""What confines a server: profile, folders, system calls, limits, as the start of a bubblewrap process."""
