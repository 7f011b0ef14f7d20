import logging
import pickle
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from spending import Clock, reserving
from tts_server import FISH, TOKEN, TtsServer

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.models import paid
from dailytalk_contiguous.models.contracts import Line, NotAnswered
from dailytalk_contiguous.models.paid import (
    FIRST_TRIES,
    LINES_WITHOUT_ANSWER,
    Client,
    Purchase,
    RequestLimits,
)
from dailytalk_contiguous.models.request_failures import ShortRead
from dailytalk_contiguous.models.service_token import Token
from dailytalk_contiguous.models.speech_answers import read_plain
from dailytalk_contiguous.models.synthesisers.openai import OpenAISpeech
from dailytalk_contiguous.store.secrets import INSECURE

BODY = b'{"text": "Hello there."}'


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time of the client: nobody waits."""
    passing = Clock()
    monkeypatch.setattr(paid, "time", passing)
    return passing


def client(url: str, token: str = TOKEN, **options: Any) -> Client:
    limits = RequestLimits(**{"read_seconds": 1.5, **options})
    return Client("The service", url, Token(token, "A_TOKEN"), limits)


def ask(service: Client, read: Callable[[bytes], bytes] = lambda body: body) -> bytes:
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


@pytest.mark.parametrize("fault", ["429", "503", "timeout", "reset", "cut-off"])
def test_what_passes_is_tried_again(fault: str) -> None:
    with TtsServer() as server:
        server.plan = [fault, fault]
        assert ask(client(server.url))[:4] == b"RIFF"
        assert len(server.asked) == 3


def test_request_that_failed_is_made_again_after_the_whole_wait(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paid, "random", SimpleNamespace(uniform=lambda least, most: most))
    with TtsServer() as server:
        server.plan = ["reset"]
        limits = RequestLimits(first_wait=0.75)
        assert ask(Client("The service", server.url, Token(TOKEN, "A_TOKEN"), limits))[:4] == b"RIFF"
    assert clock.now == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("status", "hint"),
    [("401", "A_TOKEN"), ("402", "credit"), ("404", "voice"), ("422", "settings")],
)  # fmt: skip
def test_what_somebody_must_mend_stops_at_once_and_says_how(clock: Clock, status: str, hint: str) -> None:
    with TtsServer() as server:
        server.plan = [status]
        with pytest.raises(DailytalkError, match=status) as caught:
            ask(client(server.url))
        assert not isinstance(caught.value, NotAnswered)
        assert hint in caught.value.remedy
        assert len(server.asked) == 1
    assert clock.now == 0.0


def test_a_service_that_never_answered_anything_is_asked_three_times_and_named(clock: Clock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(DailytalkError, match=f"at {url} can't be reached: check that it runs"):
        ask(client(url))
    assert clock.now > 0  # it waited, and asked again
    with TtsServer(faults={"timeout": 1.0}) as server:
        with pytest.raises(DailytalkError, match=f"at {server.url} accepts requests and answers none"):
            ask(client(server.url, read_seconds=0.05))
        assert len(server.asked) == FIRST_TRIES


def test_no_request_is_begun_after_a_refusal_that_somebody_must_mend() -> None:
    """Two threads ask before one of them is refused."""
    with TtsServer() as server:
        service = client(server.url, read_seconds=60.0)  # the two answers wait for each other
        assert ask(service)
        server.before_answer = threading.Barrier(2, timeout=20).wait
        server.plan = ["402"] * 50
        asked = len(server.asked)
        with ThreadPoolExecutor(2) as pool:
            refused = [pool.submit(ask, service) for _ in range(20)]
        assert all("402" in str(future.exception()) for future in refused)
        assert len(server.asked) - asked <= 2  # those that were under way together
        asked = len(server.asked)
        server.before_answer = lambda: None
        with pytest.raises(DailytalkError, match="402"):
            ask(service)
        assert len(server.asked) == asked


@pytest.mark.parametrize("status", ["400", "401", "402", "403", "404"])
def test_refusal_of_the_first_line_is_asked_for_once_however_many_threads_ask(status: str) -> None:
    with TtsServer(latency=0.05) as server, ThreadPoolExecutor(8) as pool:
        server.plan = [status] * 50
        voice = OpenAISpeech(client=client(server.url))
        refused = [pool.submit(voice.speak, Line(f"Line {number}.", "", "en", 0)) for number in range(20)]
        assert all(status in str(future.exception()) for future in refused)
        assert len(server.asked) == 1


def test_lines_are_asked_side_by_side_once_one_was_answered() -> None:
    with TtsServer() as server, ThreadPoolExecutor(4) as pool:
        service = client(server.url, read_seconds=60.0)  # the answers wait for each other
        server.plan = ["503", "429"]  # which may pass, and tell nothing
        assert ask(service)
        server.before_answer = threading.Barrier(4, timeout=20).wait
        answers = [pool.submit(ask, service) for _ in range(8)]
        assert all(future.result() for future in answers)
        assert server.busiest == 4


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


@pytest.mark.parametrize(
    ("fault", "cost"),
    [("429", 0), ("reset", 0), ("truncated", 1), ("cut-off", 1), ("", 0)],
)  # fmt: skip
def test_an_answer_that_began_with_200_is_charged_and_no_other(fault: str, cost: int) -> None:
    charged: list[float] = []
    with TtsServer() as server:
        service = client(server.url, read_seconds=0.3)
        ask(service)
        server.plan = [fault]
        purchase = Purchase(0.25, reserving([], charged))
        answer = service.post(FISH, BODY, {}, partial(read_plain, text="one"), purchase=purchase)
        assert len(server.asked) == (3 if fault else 2)
    assert charged == [0.25] * (cost + 1)
    assert answer.paid == cost + 1


@pytest.mark.parametrize("fault", ["429-seconds", "429-date"])
def test_retry_after_is_honoured_as_seconds_and_as_a_date(clock: Clock, fault: str) -> None:
    with TtsServer(retry_after=7) as server:
        server.plan = [fault]
        ask(client(server.url))
    assert 6.9 <= clock.now <= 9.0


@pytest.mark.parametrize(
    ("host", "safe"),
    [("[::1]", True), ("localhost", True), ("10.0.0.1", False), ("localhost.example.org", False)],
)
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


def test_password_of_a_netrc_file_goes_to_no_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with TtsServer() as server:
        with pytest.raises(DailytalkError, match="answered 401"):
            ask(client(server.url, token=""))
        assert "Authorization" not in server.asked[0].headers


@pytest.mark.parametrize(
    ("rest", "reason"),
    [
        ("9" * 400, "asks for a rest of"),
        ("9" * 5_000, "answered 429, at the last of 3 tries"),
        ("Sat, 28 Nov 2026 16:00:00 +99999999999999999999", "answered 429, at the last of 3 tries"),
    ],
    ids=["long", "longer", "no-date"],
)
def test_a_rest_that_a_server_asks_for_ends(rest: str, reason: str) -> None:
    def refuse(connection: socket.socket) -> None:
        head = f"HTTP/1.1 429 No\r\nRetry-After: {rest}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        connection.sendall(head.encode())

    with raw_server(refuse) as url, pytest.raises(DailytalkError, match=reason):
        ask(client(url, tries=3))


def test_an_answer_that_drips_without_end_is_given_up_after_five_minutes(clock: Clock) -> None:
    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        while True:  # until the client hangs up
            clock.now += 1.0
            connection.sendall(b"R")

    with raw_server(drip) as url, pytest.raises(NotAnswered, match="took over 300 s to answer"):
        ask(client(url, tries=1))


def test_a_redirect_is_not_followed() -> None:
    def redirect(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")

    with raw_server(redirect) as url, pytest.raises(DailytalkError, match="answered 302"):
        ask(client(url))


@pytest.mark.parametrize("fault", ["401", "500", "unreachable"])
def test_the_token_is_in_no_message_traceback_or_log(fault: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with TtsServer(faults={} if fault == "unreachable" else {fault: 1.0}) as server:
        url = "http://127.0.0.1:9" if fault == "unreachable" else server.url
        service = client(url, tries=2)
        with pytest.raises(DailytalkError) as caught:
            ask(service)
    shown = [caplog.text, str(vars(service))]
    error: BaseException | None = caught.value
    while error is not None:  # also what `from None` would only have hidden
        frames = traceback.walk_tb(error.__traceback__)
        for frame in traceback.StackSummary.extract(frames, capture_locals=True):
            if not frame.name.startswith("test_"):
                shown.append(str(frame.locals))
        shown += traceback.format_exception(error)
        shown.append(repr(error))
        error = error.__context__
    assert TOKEN not in "".join(shown)


def test_a_service_that_repeats_the_token_does_not_make_us_show_it() -> None:
    def repeats(body: bytes) -> bytes:
        raise ShortRead(f"said {TOKEN}")

    with TtsServer() as server, pytest.raises(DailytalkError) as caught:
        ask(client(server.url, token="another-token"))
    assert "another-token" not in str(caught.value)
    with TtsServer() as server, pytest.raises(NotAnswered) as failed:
        ask(client(server.url, tries=1), repeats)
    assert TOKEN not in str(failed.value)


def test_a_token_is_trimmed_found_in_the_environment_and_never_pickled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRST", "")
    monkeypatch.setenv("SECOND", f"{TOKEN}\n")
    token = Token.from_environment("FIRST", "SECOND")
    with TtsServer() as server:
        service = Client("The service", server.url, token)
        assert service.post(FISH, BODY, {}, lambda body: body).value
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(token)
