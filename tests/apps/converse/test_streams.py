"""The paid door's way to read streams, and pieces that one thread makes for another."""

from typing import Any

from chat_server import REPLY, ChatServer
from spending import Clock

from dailytalk_contiguous.apps.converse.chat import COMPLETIONS_PATH, read_completion
from dailytalk_contiguous.models.paid import Client, RequestLimits
from dailytalk_contiguous.models.pieces import Pieces
from dailytalk_contiguous.models.service_token import Token

BODY = b'{"messages": []}'


def client(server: ChatServer, **options: Any) -> Client:
    limits = RequestLimits(**{"read_seconds": 5.0, "tries": 3, **options})
    return Client("The service", server.url, Token("a-token", "A_TOKEN"), limits, clock=Clock())


def stream(service: Client, **options: Any) -> Pieces[str]:
    return service.stream(COMPLETIONS_PATH, BODY, {}, read_completion, **options)


def test_what_nobody_waits_for_ends_and_leaves_its_place_to_the_next() -> None:
    with ChatServer(plan=["falls-silent", "hangs"]) as server:
        service = client(server, read_seconds=60.0)
        reply = stream(service)
        next(reply)
        reply.close()
        assert server.left.wait(20)
        server.left.clear()
        reply = stream(service)
        for _ in range(2):
            assert server.came.acquire(timeout=20)
        reply.close()
        assert server.left.wait(20)
        assert "".join(stream(service)) == REPLY
