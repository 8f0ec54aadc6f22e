"""What the gateway keeps: each module reads and writes one kind of rows, for callers that know no SQL."""
