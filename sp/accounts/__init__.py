"""Manage accounts: just-in-time provisioning, rows in the database, administration, and search."""
