"""The server of the page of `dailytalk converse --web`: who is let in, and what is believed of a page."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator

import numpy as np
import pytest
from talking import Microphone, ScriptedMind, ears, tones
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from dailytalk_contiguous.apps.converse.sound_blocks import BLOCK
from dailytalk_contiguous.apps.converse.talk import Talk, TalkParts
from dailytalk_contiguous.apps.converse.talk_page import TalkPage
from dailytalk_contiguous.apps.converse.talk_settings import TalkSettings


@pytest.fixture(scope="module")
def page() -> Iterator[TalkPage]:
    page = TalkPage(0)
    parts = TalkParts(ears([]), None, ScriptedMind(lambda messages: []), tones, "")
    page.serve(Talk(TalkSettings(), parts, Microphone(), lambda event: None, threaded=False), "Private.")
    yield page
    page.close()


def connected(page: TalkPage, **changes: str):
    """A window, as a browser opens it."""
    address = page.address
    headers = {"Origin": "http://" + address.split("/")[2], **changes}
    key = headers.pop("key", None)
    if key is not None:
        address = address.rpartition("/")[0].rpartition("/")[0] + f"/{key}/"
    return connect(f"ws{address[4:]}talk", additional_headers=headers, proxy=None)


def test_the_page_is_found_by_its_secret_alone_and_asks_nothing_of_others(page: TalkPage) -> None:
    with urllib.request.urlopen(page.address) as answer:
        assert b"not a diagnosis" in answer.read()
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    root = page.address.rpartition("/")[0].rpartition("/")[0]
    for wrong in ("/", "/x/", "/x/assets/talk.js"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(root + wrong)
    for header in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(urllib.request.Request(page.address, headers=header))


@pytest.mark.parametrize("changes", [{"Origin": "http://evil.example"}, {"key": "x"}])
def test_a_window_of_another_page_is_refused(page: TalkPage, changes: dict[str, str]) -> None:
    with pytest.raises(InvalidStatus, match="403"):
        connected(page, **changes)


@pytest.mark.parametrize("message", [b"12345", "{", '{"kind": "run"}'])
def test_nonsense_closes_the_window_and_the_next_one_is_served(page: TalkPage, message: str | bytes) -> None:
    with connected(page) as window:
        assert json.loads(window.recv())["kind"] == "welcome"
        window.send(message)
        with pytest.raises(ConnectionClosed):
            window.recv()
    with connected(page) as window:
        assert json.loads(window.recv())["kind"] == "welcome"


def test_sound_goes_both_ways(page: TalkPage) -> None:
    with connected(page) as window:
        assert json.loads(window.recv())["note"] == "Private."
        page.play(np.full(BLOCK, 0.5, np.float32))
        assert int(np.frombuffer(window.recv(), "<i2")[0]) == 1 << 14
        window.send(np.full(BLOCK, 1 << 14, "<i2").tobytes())
        assert (page.read(idle=True) == 0.5).all()
        page.mute()
        assert json.loads(window.recv()) == {"kind": "mute"}


def test_talk_ends_from_a_page_whose_microphone_is_off(page: TalkPage) -> None:
    with connected(page) as window:
        window.recv()
        window.send('{"kind": "end"}')
        assert page.read(idle=True) is None
