"""What several tests need: the cast, real programs as child processes, a real browser."""
