"""Read and write the gateway's data: each module handles one kind of row, and hides the SQL."""
