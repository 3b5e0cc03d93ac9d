"""The least that could take signed webhooks: an ASGI app that checks the MAC and answers, and keeps nothing.

`python -m tests.bench.bare` serves it, with uvicorn set up as the services set it up, until SIGTERM.
"""

import base64
import hmac
import os

import uvicorn
from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, Scope

PORT, SECRET = "BENCH_PORT", "BENCH_SECRET"
"""What the environment says."""


class App:
    """One route for all paths."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        assert scope["type"] == "http"
        body, more = b"", True
        while more:
            message = await receive()
            assert message["type"] == "http.request"
            body, more = body + message["body"], message["more_body"]
        told = dict(scope["headers"]).get(b"x-shopify-hmac-sha256", b"")
        right = base64.b64encode(hmac.digest(self._secret, body, "sha256"))
        status = 200 if hmac.compare_digest(told, right) else 401
        headers = [(b"content-type", b"application/json"), (b"content-length", b"2")]
        await send({"type": "http.response.start", "status": status, "headers": headers, "trailers": False})
        await send({"type": "http.response.body", "body": b"{}", "more_body": False})


def main() -> None:
    """Serve until stopped."""
    uvicorn.run(
        App(os.environ[SECRET].encode()), host="127.0.0.1", port=int(os.environ[PORT]), log_config=None,
        access_log=False, limit_concurrency=1000, timeout_keep_alive=15, lifespan="off", server_header=False,
        proxy_headers=False,
    )  # fmt: skip


if __name__ == "__main__":
    main()
