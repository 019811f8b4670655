"""Approvals: what people are asked, what they sign, and who waits for it."""
