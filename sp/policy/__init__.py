"""The access rules, the decision about a request, and its explanation. Pure code: it does no I/O and reads no clock."""
