"""What the two programs share, module by module."""
