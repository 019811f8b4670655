"""Budgets: what a call costs (scoring.py), and what is left of each (ledger.py)."""
