"""A small notes server, the policy that governs it, and the policy's tests."""
