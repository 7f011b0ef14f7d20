"""The page of `dailytalk converse --web`, with a file as the microphone of Debian's Chromium."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import soundfile
from browser import Visit, chromium, needs_playwright, visit
from talking import QUESTION, WAIT, ScriptedMind, ears, silence, tones

from dailytalk_contiguous.apps.converse.dialogue import TurnEmotion
from dailytalk_contiguous.apps.converse.sound_blocks import TALK_RATE
from dailytalk_contiguous.apps.converse.talk import Talk, TalkEvent, TalkParts
from dailytalk_contiguous.apps.converse.talk_page import TalkPage
from dailytalk_contiguous.apps.converse.talk_settings import TalkSettings
from dailytalk_contiguous.core.records.utterance import CUT_MARK
from dailytalk_contiguous.core.sound.samples import Samples

pytestmark = needs_playwright

#: What would run, or become an element, if the page took it for markup.
MARKUP = "<img src=x onerror='ran=1'><b class=planted>&amp;"

LONG = "This is a long answer that goes on for quite a while. And then there is a second sentence, too."
PRIVATE = "Nothing leaves this machine."

#: What the microphone hears from when it is opened: three turns, then somebody who speaks over the third answer.
SAID = QUESTION[: round(1.2 * TALK_RATE)]
SPOKEN = np.concatenate([silence(0.3), *3 * [SAID, silence(1.7)], WAIT[: 2 * TALK_RATE], silence(60.0)])


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    heard = tmp_path_factory.mktemp("heard") / "heard.wav"
    soundfile.write(heard, SPOKEN, TALK_RATE)
    with chromium(
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={heard}%noloop",
    ) as opened:
        yield opened


class Served:
    """A talk in a thread, served to a page."""

    def __init__(self, texts: Sequence[str], replies: Sequence[str]) -> None:
        answers = iter(replies)
        self.mind = ScriptedMind(lambda messages: [next(answers, "Yes.")])
        self.events: list[TalkEvent] = []
        self.page = TalkPage(0)
        parts = TalkParts(ears(texts), feel, self.mind, tones, "You listen.")
        self.talk = Talk(TalkSettings(), parts, self.page, self.show)
        self.page.serve(self.talk, PRIVATE)
        self.thread = threading.Thread(target=self.talk.run)
        self.thread.start()

    def show(self, event: TalkEvent) -> None:
        self.events.append(event)
        self.page.show(event)


def feel(sound: Samples, start: float) -> TurnEmotion:
    return TurnEmotion("voice-linear", {"sad": 0.71}, {"valence": 0.2, "arousal": 0.3}, limit=0.5)


@contextmanager
def served(texts: Sequence[str] = (), replies: Sequence[str] = ()) -> Iterator[Served]:
    talking = Served(texts, replies)
    try:
        yield talking
    finally:
        talking.page.stop()
        talking.thread.join(20.0)
        assert not talking.thread.is_alive()


def talk_is(state: str) -> str:
    if state == "here":
        return "!document.querySelector('#end').disabled"
    return f"document.querySelector('#state').dataset.state === '{state}'"


def count_is(kind: str, count: int) -> str:
    return f"document.querySelectorAll('.line.{kind}').length === {count}"


def started(visited: Visit) -> Visit:
    visited.wait(talk_is("here"))
    visited.page.click("#start")
    visited.wait("document.querySelector('#start').hidden")
    return visited


def lines(visited: Visit, kind: str) -> list[str]:
    return visited.page.locator(f".line.{kind} .said").all_inner_texts()


def test_three_turns_and_an_interruption(browser: Any) -> None:
    texts = ["one.", "two.", f"three {MARKUP}.", "wait wait let me hear it."]
    with (
        served(texts, [f"I see {MARKUP}.", "Go on.", LONG, "All right."]) as talking,
        visit(browser, talking.page.address) as page,
    ):
        started(page)
        page.wait(f"{count_is('user', 4)} && {count_is('reply', 4)}")
        assert lines(page, "user") == texts
        assert lines(page, "reply") == ["I see &amp;.", "Go on.", LONG.partition(" And")[0], "All right."]
        assert page.page.locator(".line.heard").count() == 1
        assert "[sad 71%, valence 0.20, arousal 0.30]" in page.page.locator("#lines").inner_text()
        assert page.page.locator("#lines :is(img, .planted)").count() == 0
        assert PRIVATE in page.page.locator("footer").inner_text()
        role, heard = talking.mind.asked[3][-2]
        assert role == "assistant"
        assert heard[:9] == "This is a"
        assert heard.endswith(CUT_MARK)
        for scheme, width in (("light", 1280), ("dark", 400)):
            page.page.set_viewport_size({"width": width, "height": 900})
            page.page.emulate_media(color_scheme=scheme)
            assert page.overflow() == 0
            assert page.violations() == []
        page.page.click("#end")
        page.wait(talk_is("ended"))
        notice = page.page.locator("#notice").inner_text()
        assert notice.startswith("The talk has ended after")
        assert notice.endswith("Nothing is kept.")
        assert page.complaints == []
        assert page.requests == []


def test_a_second_window_takes_over_and_the_first_one_may_have_it_back(browser: Any) -> None:
    with served(["one."]) as talking, visit(browser, talking.page.address) as first:
        started(first)
        first.wait(count_is("reply", 1))
        with visit(browser, talking.page.address) as second:
            second.wait(talk_is("here"))
            assert lines(second, "user") == ["one."]
            first.wait(talk_is("elsewhere"))
            assert "The talk goes on in another window." in first.page.locator("#elsewhere").inner_text()
            assert first.page.locator("#end").is_disabled()
            started(second)
            first.page.click("#take")
            first.wait(talk_is("here"))
            second.wait(talk_is("elsewhere"))
            assert lines(first, "user") == ["one."]
        assert first.page.locator("#start").is_visible()


#: What is at hand in a page that is to lose its microphone or its connection.
AT_HAND = """
  window.opened = [];
  const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = async (wanted) => {
    if (window.refusal) throw new DOMException("", window.refusal);
    window.opened.push(await open(wanted));
    return window.opened.at(-1);
  };
  window.WebSocket = class extends WebSocket { constructor(address) { super(address); window.socket = this; } };
"""


def test_no_microphone_and_no_connection_are_a_sentence_each_and_the_talk_goes_on(browser: Any) -> None:
    with served(["one."]) as talking, visit(browser, talking.page.address, script=AT_HAND) as page:
        page.wait(talk_is("here"))
        notice = page.page.locator("#notice")
        for reason, sentence in (
            ("NotAllowedError", "The microphone was refused: allow it beside the address"),
            ("NotFoundError", "There is no microphone: plug one in"),
            ("NotReadableError", "close other programs that record"),
            ("AbortError", "The microphone can't be opened (AbortError)"),
        ):
            page.page.evaluate(f"window.refusal = {reason!r}")
            page.page.click("#start")
            page.wait(f"document.querySelector('#notice').textContent.includes({sentence!r})")
        page.page.evaluate("window.refusal = ''")
        started(page)
        assert notice.is_hidden()
        page.wait(count_is("user", 1))
        page.page.evaluate("opened.at(-1).getTracks()[0].dispatchEvent(new Event('ended'))")
        page.wait("document.querySelector('#notice').textContent.startsWith('The microphone was unplugged')")
        page.wait(count_is("reply", 1))  # the voice goes on
        started(page)
        page.page.evaluate("socket.close()")
        page.wait("document.querySelector('#notice').textContent.startsWith('The connection is lost')")
        page.wait(talk_is("here"))
        assert notice.is_hidden()
        assert lines(page, "user") == ["one."]
