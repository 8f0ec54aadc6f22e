"""Sign people out when an identity provider asks for it, and tell the provider when a person signs out here."""
