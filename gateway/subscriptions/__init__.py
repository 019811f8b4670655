"""Subscriptions: which notifications of upstreams reach which caller.

A list's change is told to those who are shown something else than before, a resource's update to those who hold a
permit for its URI, and nothing else is passed on. Nothing here wakes up while upstreams are silent.

Not the feeds themselves (feeds.py), and not how a caller is told (transports).
"""

from gateway.subscriptions.opening import MOST_EACH as MOST_EACH
from gateway.subscriptions.opening import Subscription as Subscription
from gateway.subscriptions.opening import Wants as Wants
from gateway.subscriptions.opening import close as close
from gateway.subscriptions.opening import open_subscription as open_subscription
from gateway.subscriptions.opening import reconcile as reconcile
from gateway.subscriptions.opening import touched as touched
from gateway.subscriptions.updates import MOST_URIS as MOST_URIS
