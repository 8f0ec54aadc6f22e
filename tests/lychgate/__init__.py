"""What an application imports from us."""
