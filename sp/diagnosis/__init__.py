"""What helps an administrator to find out why something does not work, or whether it is safe."""
