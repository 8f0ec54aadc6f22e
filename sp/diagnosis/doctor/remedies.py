"""Say how to correct each finding of the doctor, with the directives of the proxy in front."""

from __future__ import annotations

EXAMPLES = "See docs/guides/doctor.md."
OUR_FILES = {
    "nginx": "examples/nginx/nginx.conf",
    "caddy": "examples/caddy/Caddyfile",
    "haproxy": "examples/haproxy/haproxy.cfg",
    "apache": "examples/apache/lychgate.conf",
}

_GENERAL = {
    "own_paths": "Let the proxy pass the gateway's own paths to the gateway, with the Host header of the client.",
    "proxy_trusted": "Add the IP of the proxy to SP_TRUSTED_PROXIES.",
    "client_ip": "Let the proxy replace X-Forwarded-For by the IP of the connection.",
    "scheme": "Let the proxy replace X-Forwarded-Proto by the scheme of the connection.",
    "forwarded_host": "Let the proxy replace or remove X-Forwarded-Host.",
    "request_id": "Let the proxy replace or remove X-Request-Id.",
    "foreign_host": "Let the proxy pass on the Host header, and serve no other name with this site.",
    "set_cookie": "Let the proxy pass on every Set-Cookie header of the gateway unchanged.",
    "cookie_passed": "Let the proxy pass on the Cookie header to the gateway.",
    "large_request": "Allow headers of at least 8 KiB in the proxy.",
    "large_answer": "Allow headers of at least 8 KiB in the answer to the auth request.",
    "sign_in": "Pass the gateway's answer to the browser: a redirect with the path that was asked for.",
    "script_refused": "Pass the gateway's 401 to scripts unchanged.",
    "open_paths": "Ask the gateway about every path and method. Allow public ones with rules of the gateway.",
    "question": "Reject /sso/auth/ for clients before it is passed to the gateway.",
    "identity_headers": "Remove these headers in the proxy, before it adds what the gateway said.",
    "header_spelling": "Drop headers whose name has an underscore or a dot.",
    "url_headers": "Remove these headers in the proxy.",
    "session_cookie": "Remove the gateway's cookie from what the application gets.",
    "path_same": "Pass the path on as it was sent, without decoding or encoding it.",
    "path_tricks": "Ask the gateway about the path of the request line, not about a cleaned one.",
    "upgrade": "Pass on the Upgrade header only for WebSockets.",
    "smuggling": "Reject requests with both Content-Length and Transfer-Encoding. Update the proxy.",
    "header_space": "Reject headers with a space before the colon. Update the proxy.",
    "https": "Use https: cookies and passwords are sent over this connection.",
    "https_redirect": "Redirect http to https.",
    "hsts": "Once https works for good, send Strict-Transport-Security: max-age=31536000.",
}
_BY_PROXY = {
    "nginx": {
        "own_paths": "proxy_pass the gateway's paths (location ~ ^/(sso/…) with proxy_set_header Host $http_host.",
        "client_ip": "proxy_set_header X-Forwarded-For $remote_addr; in the gateway's locations.",
        "scheme": "proxy_set_header X-Forwarded-Proto $scheme; in the gateway's locations.",
        "forwarded_host": "proxy_set_header X-Forwarded-Host $http_host; in the gateway's locations.",
        "request_id": "proxy_set_header X-Request-Id $request_id; in every location with proxy_pass.",
        "set_cookie": "Remove proxy_hide_header and proxy_ignore_headers for Set-Cookie from the gateway's locations.",
        "large_answer": "proxy_buffer_size 16k; and proxy_buffers 4 16k; in location = /sso/auth/nginx.",
        "sign_in": "error_page 401 = @sign_in; and X-Original-URL $scheme://$http_host$request_uri.",
        "script_refused": "In @sign_in: if ($sign_in = \"\") { return 401; }",
        "open_paths": "Write auth_request /sso/auth/nginx; in every location that passes to the application.",
        "question": "internal; in location = /sso/auth/nginx, and return 404; in location ^~ /sso/auth/.",
        "identity_headers": 'proxy_set_header NAME ""; for each name; X-Lychgate-Assertion $lychgate_assertion.',
        "header_spelling": "underscores_in_headers off; ignore_invalid_headers on;",
        "url_headers": 'proxy_set_header NAME ""; for each name.',
        "session_cookie": "proxy_set_header Cookie $cookies_of_the_application; with the map of the example.",
        "path_same": "Write proxy_pass without a path: http://127.0.0.1:8000, without a slash at its end.",
        "path_tricks": "X-Original-URL must end in $request_uri, not $uri.",
        "upgrade": "proxy_set_header Upgrade $upgrade_of_the_application; with the map of the example.",
    },
    "caddy": {
        "own_paths": "reverse_proxy @own to the gateway, before forward_auth.",
        "client_ip": "Remove trusted_proxies, or list only your own proxies there.",
        "scheme": "Remove trusted_proxies, or list only your own proxies there.",
        "request_id": "request_header X-Request-Id {http.request.uuid}, first in the route.",
        "sign_in": "Use uri /sso/auth/forward, and let forward_auth pass the gateway's answer on.",
        "open_paths": "Let no reverse_proxy, respond or file_server run before forward_auth.",
        "question": "respond /sso/auth/* 404, first in the route.",
        "identity_headers": "request_header -NAME, in a route, before forward_auth.",
        "header_spelling": "request_header -*_* and -*.*, in a route, before forward_auth.",
        "url_headers": "request_header -NAME, in a route, before forward_auth.",
        "session_cookie": 'request_header Cookie "(__Host-)?sp_session=[^;]*(; ?)?(.*)$" "$3", after forward_auth.',
        "path_same": "Remove uri and rewrite lines before the last reverse_proxy, or put them before forward_auth.",
        "path_tricks": "Remove uri and rewrite lines between forward_auth and the last reverse_proxy.",
        "upgrade": "Remove the Upgrade header unless it is websocket.",
    },
    "apache": {
        "own_paths": "ProxyPreserveHost On, and ProxyPass / for every path.",
        "client_ip": "RequestHeader unset X-Forwarded-For early, so that only the proxy's own value remains.",
        "scheme": "RequestHeader set X-Forwarded-Proto to the scheme of this virtual host.",
        "forwarded_host": "RequestHeader unset X-Forwarded-Host early.",
        "request_id": "RequestHeader unset X-Request-Id early.",
        "foreign_host": "ProxyPreserveHost On.",
        "set_cookie": "Remove Header unset and Header edit of Set-Cookie.",
        "sign_in": "ProxyErrorOverride Off.",
        "script_refused": "ProxyErrorOverride Off.",
        "open_paths": "Remove Alias, ProxyPass … ! and other ProxyPass lines for paths of the application.",
        "path_same": "ProxyPass … nocanon, and AllowEncodedSlashes NoDecode.",
    },
    "haproxy": {
        "client_ip": "http-request set-header X-Forwarded-For %[src], instead of option forwardfor.",
        "scheme": "http-request set-header X-Forwarded-Proto http (or https).",
        "forwarded_host": "http-request set-header X-Forwarded-Host %[req.hdr(host)].",
        "request_id": "http-request set-header X-Request-Id %[uuid()].",
        "set_cookie": "Remove http-response del-header Set-Cookie.",
        "sign_in": "Remove http-response set-status and errorfiles for 401 and 302.",
        "script_refused": "Remove http-response set-status and errorfiles for 401.",
        "open_paths": "Let every path go to the gateway's backend: remove use_backend lines.",
        "path_same": "Remove http-request normalize-uri, replace-path and set-path.",
    },
}  # fmt: skip


def remedy_for(check: str, proxy: str) -> str:
    """Return what to do about *check*. *proxy* is the value of the Server header that the proxy sends."""
    name = next((name for name in OUR_FILES if name in proxy.lower()), "")
    specific = _BY_PROXY.get(name, {}).get(check)
    if specific:
        return f"In {name}: {specific} {OUR_FILES[name]} is a complete example."
    return f"{_GENERAL[check]} {EXAMPLES}" if check in _GENERAL else ""
