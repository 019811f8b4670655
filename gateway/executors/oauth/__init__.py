"""An upstream that wants a login: how the gateway gets one, keeps it and renews it."""
