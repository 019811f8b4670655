"""What the operator accepted of each upstream: pins, their drift, and the manifests that say what tools do."""

from gateway.registry.drift import Change, PinChange, Problem
from gateway.registry.registry import Registry, Shown, Terms

__all__ = ["Change", "PinChange", "Problem", "Registry", "Shown", "Terms"]
