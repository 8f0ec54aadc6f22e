"""Help administrators to find out why a sign-in fails, and whether a provider is safe."""
