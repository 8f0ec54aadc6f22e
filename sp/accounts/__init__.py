"""Accounts: just-in-time provisioning, rows, administration, search."""
