"""The paid door's way to read streams."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from chat_server import REPLY, ChatServer

from dailytalk_contiguous.apps.converse.chat import COMPLETIONS_PATH, read_completion
from dailytalk_contiguous.models.cuttable_connection import StreamedAnswer
from dailytalk_contiguous.models.paid import Client, RequestLimits
from dailytalk_contiguous.models.service_token import Token

BODY = b'{"messages": []}'


def client(server: ChatServer, **options: Any) -> Client:
    limits = RequestLimits(**{"read_seconds": 5.0, "tries": 3, **options})
    return Client("The service", server.url, Token("a-token", "A_TOKEN"), limits)


def stream(service: Client) -> StreamedAnswer[str]:
    return service.stream(COMPLETIONS_PATH, BODY, {}, read_completion)


def test_what_nobody_waits_for_ends_and_leaves_its_place_to_the_next() -> None:
    with ChatServer(plan=["falls-silent", "hangs"]) as server, ThreadPoolExecutor(1) as other:
        service = client(server, read_seconds=60.0, most_at_once=1)
        reply = stream(service)
        next(reply)
        reply.close()
        assert server.left.wait(20)
        server.left.clear()
        reply = stream(service)
        pieces = other.submit(list, reply)
        for _ in range(2):
            assert server.came.acquire(timeout=20)
        reply.close()
        assert server.left.wait(20)
        assert pieces.result() == []
        assert "".join(stream(service)) == REPLY


def test_reply_that_was_ended_before_it_was_asked_for_is_not_asked_for() -> None:
    with ChatServer() as server:
        reply = stream(client(server))
        reply.close()
        assert list(reply) == []
        assert server.asked == []
