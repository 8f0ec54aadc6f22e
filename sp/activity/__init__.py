"""The activity log and the audit log."""
