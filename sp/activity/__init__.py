"""Write and read the activity log and the audit trail."""
