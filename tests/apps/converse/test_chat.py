import io
import threading
import traceback
from typing import Any

import pytest
from chat_server import REPLY, ChatServer, and_error

from dailytalk_contiguous.apps.converse import chat
from dailytalk_contiguous.apps.converse.chat import load_chat
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.models.contracts import BrokenOff, ChatMessage, NotAnswered

TOKEN = "chat-token-0123456789"
ASKED = [ChatMessage("system", "Listen."), ChatMessage("user", "I had a long day.")]


def model(server: ChatServer, name: str = "", **timing: Any) -> chat.ChatServer:
    limits = chat.CHAT_LIMITS._replace(**timing)
    return chat.ChatServer(f"{server.url}#{name}" if name else server.url, limits)


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", TOKEN)


@pytest.mark.parametrize("tail", ["", "/v1/", "#other"])
def test_server_answers_token_by_token_with_the_first_of_its_models_or_the_one_that_is_named(tail: str) -> None:
    with ChatServer() as server:
        talker = load_chat(server.url + tail)
        talker.preflight()
        pieces = list(talker.reply(ASKED, 100))
        assert "".join(pieces) == REPLY
        assert len(pieces) == len(REPLY.split())
        assert talker.name == server.asked[0]["model"] == ("other" if tail == "#other" else "tiny")
        assert talker.service == ""  # nothing leaves this machine
        assert server.asked[0]["messages"] == [{"role": role, "content": content} for role, content in ASKED]
        assert server.asked[0]["stream"] is True
        assert server.asked[0]["max_tokens"] == 100
        assert all(headers["Authorization"] == f"Bearer {TOKEN}" for _, headers in server.headers)


def test_first_token_is_there_while_the_server_still_thinks_of_the_rest() -> None:
    with ChatServer(plan=["falls-silent"]) as server:
        reply = model(server, "tiny").reply(ASKED, 100)
        assert next(reply) == "(calm)"
        assert not server.left.is_set()
        reply.close()
        assert server.left.wait(10)
        assert list(reply) == []


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("dies", "broke off its answer"),
        ("no-reason", "not whole (it ends too early)"),
        ("fails", "not whole (out of memory)"),
    ],
)
def test_answer_that_ends_in_the_middle_says_so_behind_what_came_and_is_not_asked_for_again(
    fault: str, reason: str
) -> None:
    with ChatServer(plan=[fault]) as server:
        talker = model(server, "tiny")
        *pieces, error = and_error(talker.reply(ASKED, 100))
        assert "".join(pieces) == (REPLY if fault == "no-reason" else "(calm) That sounds")
        assert isinstance(error, BrokenOff)
        assert error.reason.startswith("the chat server")
        assert reason in error.reason
        assert error.reason.endswith("after part of its answer had come")
        assert error.remedy == "say it again"
        assert len(server.asked) == 1
        assert "".join(talker.reply(ASKED, 100)) == REPLY  # and the conversation goes on


@pytest.mark.parametrize(
    ("fault", "reason", "remedy"),
    [
        ("401", "answered 401: it does not accept the token", "OPENAI_API_KEY"),
        ("404", "answered 404", "check the model, the settings and the address"),
        ("html", "answered with text/html, not with a stream", "address"),
    ],
)
def test_what_a_person_must_mend_is_one_sentence_and_the_next_turn_asks_again(
    fault: str, reason: str, remedy: str
) -> None:
    with ChatServer(plan=[fault]) as server:
        talker = model(server, "tiny")
        (error,) = and_error(talker.reply(ASKED, 100))
        assert isinstance(error, DailytalkError)
        assert not isinstance(error, NotAnswered)
        assert reason in error.reason
        assert remedy in error.remedy
        assert len(server.asked) == 1
        assert "".join(talker.reply(ASKED, 100)) == REPLY


@pytest.mark.parametrize("fault", ["401", "dies"])
def test_token_is_in_no_error_even_if_the_server_repeats_it(fault: str) -> None:
    with ChatServer(plan=[fault] * 3) as server:
        *_, error = and_error(model(server, "tiny").reply(ASKED, 100))
        shown = io.StringIO()
        while error is not None:
            steps = traceback.walk_tb(error.__traceback__)
            for frame in traceback.StackSummary.extract(steps, capture_locals=True):
                if not frame.name.startswith("test_"):
                    shown.write(str(frame.locals))
            shown.write("".join(traceback.format_exception(error)))
            shown.write(repr(error))
            error = error.__context__
        assert TOKEN not in shown.getvalue()


@pytest.mark.parametrize("fault", ["hangs", "falls-silent"])
def test_closing_from_another_thread_ends_the_wait_and_the_request(fault: str) -> None:
    """A person who speaks while the server loads its model, or in the middle of an answer."""
    with ChatServer(plan=[fault]) as server:
        talker = model(server, "tiny", read_seconds=60.0)
        reply = talker.reply(ASKED, 100)
        got: list[str] = []
        waiting = threading.Thread(target=lambda: got.extend(reply))
        waiting.start()
        while not server.asked or (fault == "falls-silent" and len(got) < 3):
            threading.Event().wait(0.005)
        reply.close()
        waiting.join(20)
        assert not waiting.is_alive()
        assert server.left.wait(20)
        assert "".join(talker.reply(ASKED, 100)) == REPLY


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "nobody answers yet: start a local server"),
        ("ftp://host/x", "not a chat model"),
        ("OWNER/NAME", "not a chat model"),
        ("http://user:secret@localhost:1", "http or https URL"),
        ("http://example.org:8080", "would get the token unencrypted"),
    ],
)
def test_name_that_can_be_no_model_is_refused_before_anything_is_asked(name: str, reason: str) -> None:
    with pytest.raises(DailytalkError, match=reason) as caught:
        load_chat(name)
    assert "secret" not in str(caught.value)
