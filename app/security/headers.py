"""Headers that every response carries, so that a browser does no more with it than it should."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders

# style-src: charts and Swagger UI set styles on elements. img-src: small pictures are drawn into the page.
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; object-src 'none'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
ALWAYS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    # Not no-referrer: forms would then send "Origin: null", and the Origin is checked.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def add_headers(headers: MutableHeaders, path: str) -> None:
    """Adds what is missing: pages are never stored, static files are asked for again and mostly answered with 304."""
    for name, value in ALWAYS.items():
        headers.setdefault(name, value)
    headers.setdefault("Cache-Control", "no-cache" if path.startswith("/static/") else "no-store")
