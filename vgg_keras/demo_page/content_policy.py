"""Tells browsers that a page loads nothing from other hosts."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

_HEADERS = (
    (
        b"content-security-policy",
        # Gradio's page holds scripts and styles itself, evaluates templates, and shows "data:" and "blob:".
        b"default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
        b"img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; object-src 'none'; base-uri 'self'; "
        b"form-action 'self'",
    ),
    (b"referrer-policy", b"no-referrer"),
)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class ContentPolicy:
    """An ASGI application that adds to each answer of another one what the browser may load.

    Args:
        application: the other application.
    """

    def __init__(self, application: Callable[[Scope, Receive, Send], Awaitable[None]]):
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""

        async def send_with_policy(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *_HEADERS]}
            await send(message)

        await self._application(scope, receive, send_with_policy)
