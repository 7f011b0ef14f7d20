"""The paid door's way to read streams, and pieces that one thread makes for another."""

import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

import pytest
from chat_server import REPLY, ChatServer, and_error
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.models import paid
from dailytalk_contiguous.models.chat import COMPLETIONS_PATH, read_completion
from dailytalk_contiguous.models.contracts import BrokenOff, NotAnswered
from dailytalk_contiguous.models.paid import Client, ServerEvent, ShortRead, Token, server_events
from dailytalk_contiguous.models.pieces import Closed, Feed, Pieces

BODY = b'{"messages": []}'


def client(server: ChatServer, **options: Any) -> Client:
    options = {"read_seconds": 5.0, "tries": 3, "sleep": lambda seconds: True} | options
    return Client("The service", server.url, Token("a-token", "A_TOKEN"), **options)


def stream(service: Client, **options: Any) -> Pieces[str]:
    return service.stream(COMPLETIONS_PATH, BODY, {}, lambda events: read_completion(events, 1 << 20), **options)


def charging(
    reserved: list[float], charged: list[float]
) -> Callable[[float], AbstractContextManager[Callable[[float], None]]]:
    @contextmanager
    def reserve(price: float) -> Iterator[Callable[[float], None]]:
        reserved.append(price)
        yield charged.append

    return reserve


@pytest.mark.parametrize(
    ("plan", "asked", "paid_for"),
    [([""], 1, 1), (["500", ""], 2, 1), (["nothing", ""], 2, 2), (["dies"], 1, 1), (["402"], 1, 0)],
)
def test_each_request_reserves_its_price_and_is_charged_if_its_answer_began_with_200(
    plan: list[str], asked: int, paid_for: int
) -> None:
    reserved: list[float] = []
    charged: list[float] = []
    with ChatServer(plan=plan) as server:
        list(and_error(stream(client(server), price=0.25, reserve=charging(reserved, charged))))
        assert (reserved, charged) == ([0.25] * asked, [0.25] * paid_for)


def test_what_nobody_waited_for_is_charged_if_it_had_begun() -> None:
    charged: list[float] = []
    with ChatServer(plan=["falls-silent", "hangs"]) as server:
        service = client(server, read_seconds=60.0)
        reply = stream(service, price=0.25, reserve=charging([], charged))
        next(reply)
        reply.close()
        assert server.left.wait(20)
        server.left.clear()
        reply = stream(service, price=0.25, reserve=charging([], charged))
        while len(server.asked) < 2:
            time.sleep(0.005)
        reply.close()
        assert server.left.wait(20)
        assert "".join(stream(service)) == REPLY  # what follows in the same place waits for what is charged
        assert charged == [0.25]


def test_comments_do_not_stand_for_a_first_piece() -> None:
    """Some services send one every few seconds so that nothing on the way closes the connection."""
    now = [0.0]

    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        with suppress(OSError):  # the client hangs up
            for _ in range(20):
                now[0] += 10.0
                connection.sendall(b": still loading\n\n")
                time.sleep(0.005)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=lambda: serve(listener.accept()[0]), daemon=True).start()
        service = Client(
            "The service",
            f"http://127.0.0.1:{listener.getsockname()[1]}",
            Token("", "A_TOKEN"),
            tries=1,
            sleep=lambda seconds: True,
            clock=lambda: now[0],
        )
        (error,) = and_error(stream(service, first_seconds=50.0))
    assert isinstance(error, NotAnswered)
    assert "took over 50 s to answer" in error.reason


def test_an_answer_that_goes_on_for_too_long_ends_in_the_middle() -> None:
    now = [0.0]

    def slowly(events: Iterator[ServerEvent]) -> Iterator[str]:
        for piece in read_completion(events, 1 << 20):
            now[0] += 30.0
            yield piece

    with ChatServer(tokens_per_second=200) as server:
        service = client(server, total_seconds=100.0, clock=lambda: now[0])
        *pieces, error = and_error(service.stream(COMPLETIONS_PATH, BODY, {}, slowly))
    assert len(pieces) == 4
    assert isinstance(error, BrokenOff)
    assert "took over 100 s to answer" in error.reason


def test_places_are_taken_until_a_stream_has_ended() -> None:
    with ChatServer(plan=["falls-silent"]) as server:
        service = client(server, read_seconds=60.0, most_at_once=1)
        first = stream(service)
        next(first)
        second = stream(service)
        assert len(server.asked) == 1
        first.close()
        assert "".join(second) == REPLY


@pytest.mark.parametrize("connected", [False, True])
def test_a_request_that_nobody_waits_for_any_more_is_not_sent(connected: bool) -> None:
    go_on = threading.Event()
    with ChatServer() as server:
        service = client(server)
        if connected:
            assert "".join(stream(service)) == REPLY
        before, wait = len(server.asked), service._pace.wait
        service._pace.wait = lambda: (go_on.wait(20), wait())[1]  # type: ignore[method-assign]
        reply = stream(service)
        while reply._feed._cut is None:
            time.sleep(0.005)
        reply.close()
        go_on.set()
        assert "".join(stream(service)) == REPLY
        assert len(server.asked) == before + 1


def test_who_closes_while_the_door_waits_to_try_again_ends_that_wait() -> None:
    with ChatServer(plan=["500"] * 9) as server:
        service = Client("The service", server.url, Token("", "A_TOKEN"))  # it really sleeps
        reply = stream(service)
        (thread,) = [thread for thread in threading.enumerate() if thread.name == "stream of The service"]
        while not server.asked:
            time.sleep(0.005)
        reply.close()
        thread.join(20)
        assert not thread.is_alive()
        assert len(server.asked) <= 2


def test_ctrl_c_ends_the_wait_for_a_piece_in_any_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    with ChatServer(plan=["falls-silent"]) as server:
        reply = stream(client(server, read_seconds=60.0))
        assert [next(reply) for _ in range(3)]

        def pressed() -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(interrupts, "check_interrupt", pressed)
        with pytest.raises(KeyboardInterrupt):
            next(reply)
        reply.close()
        assert server.left.wait(20)


LINE = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=9)
EVENTS = st.lists(st.tuples(st.sampled_from(["", "message", "übel"]), LINE), max_size=5)


@given(EVENTS, st.sampled_from(["\n", "\r\n", "\r"]), st.lists(st.integers(0, 200), max_size=8), st.booleans())
def test_events_are_the_same_however_they_are_cut_and_lines_end(
    events: list[tuple[str, str]], end: str, cuts: list[int], bom: bool
) -> None:
    text = "\ufeff" * bom + f": hello{end}id: 7{end}{end}"
    for kind, data in events:
        text += (f"event: {kind}{end}" if kind else "") + f"data: {data}{end}data:{data}{end}{end}"
    raw = (text + "data: never ended").encode()
    edges = sorted({0, len(raw), *(min(cut, len(raw)) for cut in cuts)})
    parts = [raw[start:stop] for start, stop in itertools.pairwise(edges)]
    without = [data.removeprefix(" ") for _, data in events]
    expected = [
        ServerEvent(kind, f"{data}\n{stripped}") for (kind, data), stripped in zip(events, without, strict=True)
    ]
    assert list(server_events(parts)) == expected


def test_a_line_and_an_event_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paid, "MOST_EVENT_BYTES", 100)
    for parts in ([b"data: ", *[b"x" * 30] * 4], [b"data: 12345678\n"] * 10):
        with pytest.raises(paid._GivenUp, match="over 1 MiB"):
            list(server_events(parts))
    assert len([*server_events([b"data: 12345678\n\n"] * 100)]) == 100
    with pytest.raises(ShortRead, match="UTF-8"):
        list(server_events([b"data: \xff\n\n"]))


def test_pieces_come_while_others_are_made_and_an_error_after_them() -> None:
    go_on = threading.Event()

    def make(feed: Feed[str]) -> None:
        feed.put("one")
        assert go_on.wait(20)
        feed.put("two")
        raise NotAnswered("no more", "say it again")

    pieces = Pieces(make)
    assert next(pieces) == "one"
    go_on.set()
    assert next(pieces) == "two"
    with pytest.raises(NotAnswered, match="no more"):
        next(pieces)
    assert list(pieces) == []
    pieces.close()


def test_closing_ends_what_makes_the_pieces_and_drops_those_that_wait() -> None:
    ended, cut = threading.Event(), threading.Event()

    def make(feed: Feed[int]) -> None:
        try:
            feed.put(1)
            feed.put(2)
            with feed.cut_by(cut.set):
                assert cut.wait(20)
            with pytest.raises(Closed), feed.cut_by(cut.set):
                raise AssertionError("nobody wants it")
            feed.put(3)
        finally:
            ended.set()

    with Pieces(make) as pieces:
        assert next(pieces) == 1
    assert ended.wait(20)
    assert list(pieces) == []
