"""The paid door's way to read streams, and pieces that one thread makes for another."""

from typing import Any

import pytest
from chat_server import REPLY, ChatServer, and_error
from spending import reserving

from dailytalk_contiguous.apps.converse.chat import COMPLETIONS_PATH, read_completion
from dailytalk_contiguous.models.paid import Client, Token
from dailytalk_contiguous.models.pieces import Pieces

BODY = b'{"messages": []}'


def client(server: ChatServer, **options: Any) -> Client:
    options = {"read_seconds": 5.0, "tries": 3, "sleep": lambda seconds: True} | options
    return Client("The service", server.url, Token("a-token", "A_TOKEN"), **options)


def stream(service: Client, **options: Any) -> Pieces[str]:
    return service.stream(COMPLETIONS_PATH, BODY, {}, read_completion, **options)


@pytest.mark.parametrize(
    ("plan", "asked", "paid_for"),
    [([""], 1, 1), (["500", ""], 2, 1), (["dies"], 1, 1), (["402"], 1, 0)],
)
def test_each_request_reserves_its_price_and_is_charged_if_its_answer_began_with_200(
    plan: list[str], asked: int, paid_for: int
) -> None:
    reserved: list[float] = []
    charged: list[float] = []
    with ChatServer(plan=plan) as server:
        list(and_error(stream(client(server), price=0.25, reserve=reserving(reserved, charged))))
        assert (reserved, charged) == ([0.25] * asked, [0.25] * paid_for)


def test_what_nobody_waited_for_is_charged_if_it_had_begun() -> None:
    charged: list[float] = []
    with ChatServer(plan=["falls-silent", "hangs"]) as server:
        service = client(server, read_seconds=60.0)
        reply = stream(service, price=0.25, reserve=reserving([], charged))
        next(reply)
        reply.close()
        assert server.left.wait(20)
        server.left.clear()
        reply = stream(service, price=0.25, reserve=reserving([], charged))
        for _ in range(2):
            assert server.came.acquire(timeout=20)
        reply.close()
        assert server.left.wait(20)
        assert "".join(stream(service)) == REPLY  # what follows in the same place waits for what is charged
        assert charged == [0.25]
