"""The gateway's own addresses: thin functions that read the request, call one part of the gateway and answer."""
