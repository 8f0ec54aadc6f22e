"""The signed identity that the protected application can check."""
