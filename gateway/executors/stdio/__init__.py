"""An upstream that is a command: its processes, and the conversation with each."""
