"""The gateway's own URLs: thin functions that read the request, call one component and answer."""
