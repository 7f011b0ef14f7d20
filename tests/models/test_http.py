import gzip
import io
import logging
import pickle
import socket
import threading
import time
import traceback
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tts_server import FISH, TOKEN, TtsServer

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.machine import INSECURE
from dailytalk_contiguous.core.retries import backoff, retry_after
from dailytalk_contiguous.models import paid
from dailytalk_contiguous.models.contracts import NotAnswered
from dailytalk_contiguous.models.fish import read_plain
from dailytalk_contiguous.models.paid import (
    FIRST_TRIES,
    LINES_WITHOUT_ANSWER,
    MOST_ANSWER_BYTES,
    Client,
    NotServed,
    Pace,
    Reply,
    ShortRead,
    Token,
)

BODY = b'{"text": "Hello there."}'


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def client(url: str, clock: Clock | None = None, token: str = TOKEN, **options: float) -> Client:
    clock = clock or Clock()
    options = {"connect_seconds": 2.0, "read_seconds": 1.5, **options}
    return Client("The service", url, Token(token, "A_TOKEN"), sleep=clock.sleep, clock=clock, **options)


def ask(service: Client, read: Callable[[Reply], bytes] = lambda reply: reply.body) -> bytes:
    return service.post(FISH, BODY, {"Content-Type": "application/json"}, read).value


@contextmanager
def raw_server(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """Answers every connection by a function on its socket, in a thread."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        done = threading.Event()

        def run() -> None:
            while not done.is_set():
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    with suppress(OSError):
                        serve(connection)

        threading.Thread(target=run, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        done.set()
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    "fault", ["429", "429-seconds", "500", "503", "503-seconds", "timeout", "reset", "cut-off"]
)
def test_what_passes_is_tried_again(fault: str) -> None:
    with TtsServer() as server:
        server.plan = [fault, fault]
        assert ask(client(server.url))[:4] == b"RIFF"
        assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("status", "hint"),
    [("400", "settings"), ("401", "A_TOKEN"), ("402", "credit"), ("403", "model or voice"), ("404", "voice"),
     ("422", "settings")],
)  # fmt: skip
def test_what_somebody_must_mend_stops_at_once_and_says_how(status: str, hint: str) -> None:
    clock = Clock()
    with TtsServer() as server:
        server.plan = [status]
        with pytest.raises(DailytalkError, match=status) as caught:
            ask(client(server.url, clock))
        assert not isinstance(caught.value, NotAnswered)
        assert hint in caught.value.remedy
        assert len(server.asked) == 1
    assert clock.slept == []


def test_what_never_passes_fails_this_line_only() -> None:
    with TtsServer(faults={"500": 1.0}) as server:
        with pytest.raises(NotAnswered, match=r"answered 500 .* at the last of 3 tries"):
            ask(client(server.url, tries=3))
        assert len(server.asked) == 3


def test_a_service_that_nobody_can_reach_stops_the_run() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    clock = Clock()
    with pytest.raises(DailytalkError, match="can't be reached") as caught:
        ask(client(f"http://127.0.0.1:{port}", clock, tries=3))
    assert not isinstance(caught.value, NotAnswered)
    assert len(clock.slept) == 2


@contextmanager
def dead_host() -> Iterator[str]:
    """An address where nothing is ever accepted: the queue of its listener is full, and packets are dropped."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, ExitStack() as stack:
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_host_that_never_accepts_a_connection_is_given_up_after_two_short_tries(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(paid, "FIRST_CONNECT_SECONDS", 0.1)
    monkeypatch.setattr(paid, "REACH_SECONDS", 0.25)
    waits: list[float] = []
    with dead_host() as url:
        service = Client("The service", url, Token(TOKEN, "A_TOKEN"), sleep=waits.append)
        with pytest.raises(DailytalkError, match=f"at {url} can't be reached: check that it runs"):
            ask(service)
    assert len(waits) == 1


def test_a_service_that_never_answered_anything_is_asked_three_times_and_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    clock = Clock()
    with pytest.raises(DailytalkError, match=f"at {url} can't be reached: check that it runs"):
        ask(client(url, clock))
    assert len(clock.slept) == FIRST_TRIES - 1
    with TtsServer(faults={"timeout": 1.0}) as server:
        with pytest.raises(DailytalkError, match=f"at {server.url} accepts requests and answers none"):
            ask(client(server.url, read_seconds=0.05))
        assert len(server.asked) == FIRST_TRIES


def test_no_request_is_begun_after_a_refusal_that_somebody_must_mend() -> None:
    """The first answer is slow, and meanwhile another thread is refused."""
    with TtsServer() as server:
        service = client(server.url)
        assert ask(service)
        server.plan, server.latency = ["402"] * 50, 0.05
        asked = len(server.asked)
        with ThreadPoolExecutor(2) as pool:
            refused = [pool.submit(ask, service) for _ in range(20)]
        assert all("402" in str(future.exception()) for future in refused)
        assert len(server.asked) - asked <= 2  # those that were under way together
        asked = len(server.asked)
        with pytest.raises(DailytalkError, match="402"):
            ask(service)
        assert len(server.asked) == asked


def test_refusal_ends_the_waits_of_other_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paid, "backoff", lambda attempt, after: 100.0)
    with TtsServer() as server:
        service = Client("The service", server.url, Token(TOKEN, "A_TOKEN"))  # it really sleeps
        server.plan = ["500", "401"]
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(ask, service)
            while len(server.asked) < 1:
                time.sleep(0.01)
            with pytest.raises(DailytalkError, match="401"):
                ask(service)
            assert "401" in str(waiting.exception(timeout=20))
        assert len(server.asked) == 2


def test_lines_in_a_row_without_an_answer_stop_the_run_and_name_the_address() -> None:
    with TtsServer(faults={"500": 1.0}) as server:
        service = client(server.url, tries=2)
        for _ in range(LINES_WITHOUT_ANSWER - 1):
            with pytest.raises(NotAnswered, match="at the last of 2 tries"):
                ask(service)
        stopped = f"at {server.url} gave no answer to 5 lines in a row .*answered 500"
        for _ in range(2):
            with pytest.raises(DailytalkError, match=stopped) as caught:
                ask(service)
            assert not isinstance(caught.value, NotAnswered)
        assert len(server.asked) == 2 * LINES_WITHOUT_ANSWER


def test_an_answer_in_between_begins_the_row_anew() -> None:
    with TtsServer() as server:
        service = client(server.url, tries=1)
        for _ in range(3):
            server.plan = ["500"] * (LINES_WITHOUT_ANSWER - 1)
            for _ in range(LINES_WITHOUT_ANSWER - 1):
                with pytest.raises(NotAnswered):
                    ask(service)
            assert ask(service)


def charging(charged: list[float]) -> Callable[[float], AbstractContextManager[Callable[[float], None]]]:
    """What a run reserves its money with: notes what is charged."""

    @contextmanager
    def reserve(price: float) -> Iterator[Callable[[float], None]]:
        yield charged.append

    return reserve


@pytest.mark.parametrize(
    ("fault", "cost"),
    [("429", 0), ("500", 0), ("503-seconds", 0), ("reset", 0), ("timeout", 0), ("empty", 1), ("truncated", 1),
     ("cut-off", 1), ("", 0)],
)  # fmt: skip
def test_an_answer_that_began_with_200_is_charged_and_no_other(fault: str, cost: int) -> None:
    charged: list[float] = []
    with TtsServer() as server:
        service = client(server.url, read_seconds=0.3)
        ask(service)
        server.plan = [fault]
        answer = service.post(FISH, BODY, {}, read_plain, price=0.25, reserve=charging(charged))
        assert len(server.asked) == (3 if fault else 2)
    assert (charged, answer.paid) == ([0.25] * (cost + 1), cost + 1)


def test_refusals_for_good_cost_nothing() -> None:
    charged: list[float] = []
    with TtsServer() as server:
        server.plan = ["404", "402"]
        service = client(server.url)
        with pytest.raises(NotServed):
            service.post(FISH, BODY, {}, read_plain, frozenset({404}), 0.25, charging(charged))
        with pytest.raises(DailytalkError, match="402"):
            service.post(FISH, BODY, {}, read_plain, frozenset({404}), 0.25, charging(charged))
    assert charged == []


def test_every_request_reserves_its_price_and_is_charged_if_its_answer_began_well() -> None:
    reserved: list[float] = []
    charged: list[float] = []

    @contextmanager
    def reserve(price: float) -> Iterator[Callable[[float], None]]:
        reserved.append(price)
        yield charged.append

    with TtsServer() as server:
        server.plan = ["500", "empty", "429", "cut-off", ""]
        service = client(server.url)
        answer = service.post(FISH, BODY, {}, read_plain, price=0.25, reserve=reserve)
    assert (reserved, charged, answer.paid) == ([0.25] * 5, [0.25] * 3, 3)


def test_answer_that_unpacks_to_more_than_any_line_takes_is_given_up() -> None:
    packed = gzip.compress(bytes(MOST_ANSWER_BYTES + (1 << 20)))

    def bomb(connection: socket.socket) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n"
        connection.sendall(head.encode() + packed)

    charged: list[float] = []
    tracemalloc.start()
    with raw_server(bomb) as url, pytest.raises(NotAnswered, match="an answer of over 64 MiB"):
        client(url).post(FISH, BODY, {}, read_plain, price=0.25, reserve=charging(charged))
    assert charged == [0.25]  # and it is not asked for again
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2.5 * MOST_ANSWER_BYTES


def test_refusal_is_read_as_far_as_a_sentence_needs() -> None:
    packed = gzip.compress(b"[" + b"[]," * (10 << 20) + b"[]]")

    def bomb(connection: socket.socket) -> None:
        head = f"HTTP/1.1 400 Bad Request\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n"
        connection.sendall(head.encode() + packed)

    tracemalloc.start()
    with raw_server(bomb) as url, pytest.raises(DailytalkError, match="answered 400:"):
        ask(client(url))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20


@pytest.mark.parametrize("fault", ["429-seconds", "429-date"])
def test_retry_after_is_honoured_as_seconds_and_as_a_date(fault: str) -> None:
    clock = Clock()
    with TtsServer(retry_after=7) as server:
        server.plan = [fault]
        ask(client(server.url, clock))
    assert 6.9 <= sum(clock.slept) <= 9.0


def test_a_rest_of_hours_is_left_to_another_run() -> None:
    clock = Clock()
    with TtsServer(retry_after=7200) as server:
        server.plan = ["429-seconds"]
        with pytest.raises(DailytalkError, match="rest of 7200 s") as caught:
            ask(client(server.url, clock))
    assert "120 minutes" in caught.value.remedy
    assert clock.slept == []


@pytest.mark.parametrize(("seconds", "waits"), [(300, True), (301, False)])
def test_a_rest_of_five_minutes_is_waited_for_and_no_longer_one(seconds: int, waits: bool) -> None:
    clock = Clock()
    with TtsServer(retry_after=seconds) as server:
        server.plan = ["503-seconds"]
        if waits:
            assert ask(client(server.url, clock))
            assert sum(clock.slept) >= 300
        else:
            with pytest.raises(DailytalkError, match="rest of 301 s: wait 5 minutes, then run the same"):
                ask(client(server.url, clock))


@pytest.mark.parametrize(
    ("fault", "spaced"),
    [("429", True), ("503-seconds", True), ("503", False), ("500", False)],
)
def test_requests_are_spaced_after_what_asks_for_it_until_the_service_answers_again(
    fault: str, spaced: bool
) -> None:
    clock = Clock()
    with TtsServer() as server:
        server.plan = [fault]
        service = client(server.url, clock)
        ask(service)
        first = clock.slept[1:]
        for _ in range(3):
            ask(service)
    # The answers ease the spacing to 0.04 s, and then to none.
    assert (first, clock.slept[1:]) == ([], pytest.approx([0.05, 0.04]) if spaced else [])


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 599])
def test_statuses_that_pass_are_tried_again_as_often_as_asked_for(status: int) -> None:
    asked = []

    def refuse(connection: socket.socket) -> None:
        asked.append(status)
        connection.sendall(f"HTTP/1.1 {status} No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".encode())

    with (
        raw_server(refuse) as url,
        pytest.raises(NotAnswered, match=f"answered {status}, at the last of 8 tries"),
    ):
        ask(client(url))
    assert len(asked) == 8


def test_a_service_with_no_valid_certificate_is_asked_once() -> None:
    asked = []

    def refuse(connection: socket.socket) -> None:
        asked.append(connection)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with raw_server(refuse) as url:
        address = url.replace("http", "https")
        with pytest.raises(DailytalkError, match=f"at {address} has no valid certificate: check its address, and"):
            ask(client(address))
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"message": "too many words."}', " (too many words)"),
        (b'{"detail": "no such voice"}', " (no such voice)"),
        (b'{"error": {"message": "no\\n  such voice", "type": "x"}}', " (no such voice)"),
        (b'{"error": "gone", "message": "other"}', " (gone)"),
        (b'{"message": 7}', ""),
        (b'{"other": "x"}', ""),
        (b'["x"]', ""),
        (b"<html>down</html>", ""),
        (b"[" * 100_000, ""),
        (b'"' + b"x" * 300 + b'"', f" ({'x' * 200})"),
    ],
)
def test_what_a_refusal_says_is_told_on_one_short_line(body: bytes, told: str) -> None:
    def refuse(connection: socket.socket) -> None:
        connection.sendall(f"HTTP/1.1 422 No\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)

    with raw_server(refuse) as url, pytest.raises(DailytalkError) as caught:
        ask(client(url))
    assert caught.value.reason == f"The service answered 422{told}"


@pytest.mark.parametrize("length", [190, 199, 1990])
def test_half_a_token_is_not_shown_either_where_what_a_refusal_says_is_cut(length: int) -> None:
    body = b'{"message": "' + b"x" * length + TOKEN.encode() + b'"}'

    def refuse(connection: socket.socket) -> None:
        connection.sendall(f"HTTP/1.1 422 No\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)

    with raw_server(refuse) as url, pytest.raises(DailytalkError) as caught:
        ask(client(url))
    assert "xx" in caught.value.reason
    assert TOKEN[0] not in caught.value.reason.partition("xx")[2]


def test_a_service_that_only_lacks_a_path_has_been_reached() -> None:
    """Its later failures are tried as often as those of a service that has answered."""
    with TtsServer() as server:
        service = client(server.url)
        server.plan = ["404", *["reset"] * 7]
        with pytest.raises(NotServed):
            service.post(FISH, BODY, {}, read_plain, absent=frozenset({404}))
        assert ask(service)
        assert len(server.asked) == 9


@pytest.mark.parametrize(
    ("host", "safe"),
    [("127.0.0.1", True), ("127.3.2.1", True), ("[::1]", True), ("localhost", True), ("tts.localhost", True),
     ("10.0.0.1", False), ("example.org", False), ("localhost.example.org", False), ("notlocalhost", False)],
)  # fmt: skip
def test_a_token_goes_unencrypted_to_this_machine_alone(
    host: str, safe: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(INSECURE, raising=False)
    client(f"https://{host}:1")
    client(f"http://{host}:1", token="")
    if safe:
        client(f"http://{host}:1")
        return
    with pytest.raises(DailytalkError, match="would get the token unencrypted: use an https address"):
        client(f"http://{host}:1")
    monkeypatch.setenv(INSECURE, "1")
    client(f"http://{host}:1")


def test_an_answer_that_a_reader_finds_short_is_asked_for_and_paid_again() -> None:
    lengths = iter([ShortRead("too short"), None])

    def read(reply: Reply) -> bytes:
        error = next(lengths)
        if error:
            raise error
        return reply.body

    with TtsServer() as server:
        assert client(server.url).post(FISH, BODY, {}, read).paid == 2


def test_a_path_that_is_not_there_is_told_apart_where_the_caller_asks_for_it() -> None:
    with TtsServer() as server:
        server.plan = ["404"]
        with pytest.raises(NotServed):
            client(server.url).post(FISH, BODY, {}, lambda reply: reply, absent=frozenset({404}))


def test_waits_grow_from_the_first_failure_on(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts: list[int] = []
    monkeypatch.setattr(paid, "backoff", lambda attempt, after: attempts.append(attempt) or 0.0)
    with TtsServer() as server:
        server.plan = ["500", "500", "500"]
        assert ask(client(server.url))
    assert attempts == [0, 1, 2]


def test_waits_that_run_out_still_leave_the_spacing_between_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paid, "backoff", lambda attempt, after: 0.05)
    monkeypatch.setattr(paid, "FIRST_SPACING", 0.1)
    with TtsServer() as server:
        server.plan = ["429"]
        service = Client("The service", server.url, Token(TOKEN, "A_TOKEN"))  # it really sleeps
        began = time.monotonic()
        assert ask(service)
        assert ask(service)
        assert time.monotonic() - began >= 0.15


def test_password_of_a_netrc_file_goes_to_no_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with TtsServer() as server:
        with pytest.raises(DailytalkError, match="answered 401"):
            ask(client(server.url, token=""))
        assert "Authorization" not in server.asked[0].headers


def test_an_answer_that_only_drips_is_given_up() -> None:
    clock = Clock()

    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(20):
            clock.now += 10.0
            connection.sendall(b"x" * 40)
            time.sleep(0.005)

    charged: list[float] = []
    with (
        raw_server(drip) as url,
        pytest.raises(NotAnswered, match=r"over 50 s .* last of 2 tries"),
    ):
        client(url, clock, total_seconds=50.0, tries=2).post(
            FISH, BODY, {}, read_plain, price=0.25, reserve=charging(charged)
        )
    assert charged == [0.25, 0.25]  # both began with 200


def test_a_refusal_that_only_drips_is_not_charged() -> None:
    clock = Clock()

    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 500 No\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(20):
            clock.now += 10.0
            connection.sendall(b"x" * 40)
            time.sleep(0.005)

    charged: list[float] = []
    with raw_server(drip) as url, pytest.raises(NotAnswered, match="over 50 s"):
        client(url, clock, total_seconds=50.0, tries=1).post(
            FISH, BODY, {}, read_plain, price=0.25, reserve=charging(charged)
        )
    assert charged == []


def test_a_redirect_is_not_followed() -> None:
    def redirect(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")

    with raw_server(redirect) as url, pytest.raises(DailytalkError, match="answered 302"):
        ask(client(url))


def test_a_429_slows_all_threads() -> None:
    clock = Clock()
    pace = Pace(clock.sleep, clock)
    pace.wait()
    pace.slow(5.0)
    for _ in range(3):  # other threads: each waits for the pause, and then for its turn
        pace.wait()
    assert clock.slept[0] == 5.0
    assert len(clock.slept) == 3
    assert clock.now > 5.0
    for _ in range(30):
        pace.ease()
    before = len(clock.slept)
    pace.wait()
    pace.wait()
    assert len(clock.slept) <= before + 1


def test_threads_share_a_client_and_a_crowded_service_serves_them_all() -> None:
    with TtsServer(latency=0.01, most_at_once=3) as server:
        server.plan = ["429"] * 5
        fast = {"sleep": lambda seconds: time.sleep(seconds / 20), "clock": lambda: 20 * time.monotonic()}
        service = Client("The service", server.url, Token(TOKEN, "A_TOKEN"), tries=50, **fast)
        got: list[bytes] = []
        threads = [threading.Thread(target=lambda: got.append(ask(service))) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(got) == 12
        assert server.answers["429"] >= 5


@given(st.integers(0, 60), st.none() | st.floats(0, 300))
def test_backoff_lies_between_what_is_asked_for_and_the_longest_wait(attempt: int, after: float | None) -> None:
    wait = backoff(attempt, after) - (after or 0.0)
    assert -1e-9 <= wait <= 30.0 + 1e-9


@pytest.mark.parametrize("header", [None, "", "soon", "-3", "1.5.2", "99/99/9999"])
def test_a_retry_after_that_says_nothing_asks_for_nothing(header: str | None) -> None:
    assert retry_after(header) is None


def test_a_retry_after_in_the_past_asks_for_no_wait() -> None:
    assert retry_after(format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True)) == 0.0


@pytest.mark.parametrize("fault", ["401", "500", "timeout", "reset", "cut-off", "unreachable"])
def test_the_token_is_in_no_message_traceback_or_log(fault: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with TtsServer(faults={} if fault == "unreachable" else {fault: 1.0}) as server:
        url = "http://127.0.0.1:9" if fault == "unreachable" else server.url
        service = client(url, tries=2)
        with pytest.raises(DailytalkError) as caught:
            ask(service)
    told = io.StringIO()
    error: BaseException | None = caught.value
    while error is not None:  # also what `from None` would only have hidden
        for frame in traceback.StackSummary.extract(traceback.walk_tb(error.__traceback__), capture_locals=True):
            told.write("" if frame.name.startswith("test_") else str(frame.locals))
        told.write("".join(traceback.format_exception(error)) + repr(error))
        error = error.__context__
    told.write(caplog.text + repr(service._token) + str(vars(service)))
    assert TOKEN not in told.getvalue()


def test_token_says_of_itself_only_whether_it_is_there() -> None:
    assert (repr(Token(TOKEN, "A_TOKEN")), repr(Token("", "A_TOKEN"))) == ("Token(***)", "Token()")


def test_a_service_that_repeats_the_token_does_not_make_us_show_it() -> None:
    def repeats(reply: Reply) -> bytes:
        raise ShortRead(f"said {TOKEN}")

    with TtsServer() as server, pytest.raises(DailytalkError) as caught:
        ask(client(server.url, token="another-token"))
    assert "another-token" not in str(caught.value)
    with TtsServer() as server, pytest.raises(NotAnswered) as failed:
        ask(client(server.url, tries=1), repeats)
    assert TOKEN not in str(failed.value)


@pytest.mark.parametrize("token", ["two words", "newline\nhere", "ключ"])
def test_a_token_that_no_header_can_carry_is_refused_without_being_shown(token: str) -> None:
    with pytest.raises(DailytalkError, match="A_TOKEN") as caught:
        Token(token, "A_TOKEN")
    assert token not in str(caught.value)


def test_a_token_is_trimmed_found_in_the_environment_and_never_pickled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRST", "")
    monkeypatch.setenv("SECOND", f"{TOKEN}\n")
    token = Token.from_environment("FIRST", "SECOND")
    with TtsServer() as server:
        assert Client("The service", server.url, token).post(FISH, BODY, {}, lambda reply: reply.body).value
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(token)


@pytest.mark.parametrize("url", ["", "ftp://host", "host:80", "https://user:secret@host", "http://"])
def test_an_address_that_is_no_plain_url_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(DailytalkError, match="http or https URL") as caught:
        client(url)
    assert "secret" not in str(caught.value)


def test_an_address_that_no_request_can_be_made_of_stops_the_run() -> None:
    clock = Clock()
    url = "http://.example.org"
    with pytest.raises(
        DailytalkError, match=rf"at {url} can't be asked \(InvalidURL\): check that it runs"
    ) as caught:
        ask(client(url, clock, token=""))
    assert not isinstance(caught.value, NotAnswered)
    assert clock.slept == []


def test_no_more_requests_are_under_way_than_allowed() -> None:
    with TtsServer(latency=0.01) as server:
        service = Client("The service", server.url, Token(TOKEN, "A_TOKEN"), most_at_once=2)
        threads = [threading.Thread(target=ask, args=(service,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert server.purchases.total() == 8
        assert server.busiest <= 2
