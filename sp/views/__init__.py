"""Answer the gateway's own URLs with thin functions, which read the request, call one component and answer."""
