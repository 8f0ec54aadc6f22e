"""Identity providers as other people write them: a good one in Python, and two with ten defects each."""
