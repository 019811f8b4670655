"""The floor once more, with pyreqwest as its client: what the choice of client is worth."""

from pyreqwest.client import ClientBuilder
from starlette.types import ASGIApp, Receive, Scope, Send

from bench.servers.minimal_proxy import FORWARDED
from bench.servers.serving import arguments, body_of, reply, serve


def proxy(upstream: str) -> ASGIApp:
    """An app that sends every body to `upstream` over pooled connections."""
    client = ClientBuilder().http1_only().no_proxy().tcp_nodelay(True).build()  # noqa: FBT003 - its signature

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body = await body_of(receive)
        headers = {name.decode(): value.decode() for name, value in scope["headers"] if name in FORWARDED}
        response = await client.post(upstream).headers(headers).body_bytes(body).build().send()
        answer = (await response.bytes()).to_bytes()
        content_type = response.headers["content-type"].encode()
        await reply(send, response.status, [(b"content-type", content_type)], answer)

    return app


if __name__ == "__main__":
    options = arguments("upstream")
    serve(proxy(options.upstream), options.port)
