from starlette.datastructures import MutableHeaders

from app.security.headers import add_headers


def test_what_an_endpoint_says_of_its_own_stays() -> None:
    headers = MutableHeaders({"Cache-Control": "private, max-age=60"})
    add_headers(headers, "/datasets/1/images/2")
    assert headers["cache-control"] == "private, max-age=60"
    assert headers["x-content-type-options"] == "nosniff"
