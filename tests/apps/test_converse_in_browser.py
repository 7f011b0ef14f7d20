"""The page of `dailytalk converse --web`, with a file as the microphone of Debian's Chromium."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from browser import Visit, chromium, needs_playwright, visit
from talking import QUESTION, WAIT, ScriptedEar, ScriptedMind, silence, tones

from dailytalk_contiguous.apps.converse.sound_blocks import TALK_RATE
from dailytalk_contiguous.apps.converse.talk import Talk, TalkEvent, TalkParts, TurnFeeling, run_talk
from dailytalk_contiguous.apps.converse.talk_page import TalkPage
from dailytalk_contiguous.core.audio import Samples
from dailytalk_contiguous.core.dialogue import CUT_MARK, SpokenFeeling

pytestmark = needs_playwright

#: What would run, or become an element, if the page took it for markup.
MARKUP = "<img src=x onerror='ran=1'><b class=planted>&amp;"

LONG = "This is a long answer that goes on for quite a while. And then there is a second sentence, too."
PRIVATE = "Nothing leaves this machine."

#: What the microphone hears: three questions, then somebody who speaks over the third answer.
SPOKEN = np.concatenate(
    [silence(0.5), QUESTION, silence(2.2), QUESTION, silence(2.2), QUESTION, silence(2.2), WAIT, silence(60.0)]
)

#: Notes when a loud block goes to the server, and when the server has the voice hushed.
MEASURES = """
  window.loud = []; window.hushed = [];
  const send = WebSocket.prototype.send;
  WebSocket.prototype.send = function (data) {
    if (data instanceof ArrayBuffer && new Int16Array(data.slice(4)).some((sample) => Math.abs(sample) > 650)) {
      window.loud.push(performance.now());
    }
    return send.call(this, data);
  };
  const listen = WebSocket.prototype.addEventListener;
  WebSocket.prototype.addEventListener = function (kind, act) {
    return listen.call(this, kind, (event) => {
      if (typeof event.data === "string" && event.data.includes('"hush"')) window.hushed.push(performance.now());
      act(event);
    });
  };
"""


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

    def __init__(self, texts: Sequence[str], replies: Sequence[str], port: int = 0, push: bool = False) -> None:
        answers = iter(replies)
        self.mind = ScriptedMind(lambda messages: [next(answers, "Yes.")])
        self.told: list[str] = []
        self.events: list[TalkEvent] = []
        self.page = TalkPage(port, self.told.append)
        self.parts = TalkParts(ScriptedEar(texts), feel, self.mind, tones, "You listen.", push_to_talk=push)
        self.talk = Talk(self.parts, self.page, self.show)
        self.page.serve(self.talk, PRIVATE, push, lambda: "The talk has ended. Nothing is kept.")
        self.thread = threading.Thread(target=run_talk, args=(self.talk, self.page))
        self.thread.start()

    def show(self, event: TalkEvent) -> None:
        self.events.append(event)
        self.page.show(event)


def feel(sound: Samples) -> TurnFeeling:
    return TurnFeeling({"sad": 0.71}, {"valence": 0.2, "arousal": 0.3}, SpokenFeeling("sad", 0.71, 0.2, 0.3))


@contextmanager
def served(texts: Sequence[str] = (), replies: Sequence[str] = (), **options: Any) -> Iterator[Served]:
    talking = Served(texts, replies, **options)
    try:
        yield talking
    finally:
        talking.page.stop()
        talking.thread.join(20.0)
        assert not talking.thread.is_alive()


def talk_is(state: str) -> str:
    return f"document.documentElement.dataset.talk === '{state}'"


def count_is(kind: str, count: int) -> str:
    return f"document.querySelectorAll('.line.{kind}').length === {count}"


def started(visited: Visit) -> Visit:
    visited.wait(talk_is("here"))
    visited.page.click("#start")
    visited.wait("document.querySelector('#start').hidden")
    return visited


def lines(visited: Visit, kind: str) -> list[str]:
    return visited.page.locator(f".line.{kind} .said").all_inner_texts()


def test_three_turns_an_interruption_and_clear(browser: Any, tmp_path: Path) -> None:
    texts = ["one", "two", f"three {MARKUP}", "wait wait let me hear it"]
    with served(texts, [f"I see {MARKUP}.", "Go on.", LONG, "All right."]) as talking:
        with visit(browser, talking.page.address, script=MEASURES) as page:
            started(page)
            page.wait(count_is("user", 4))
            page.wait(count_is("latency", 4))
            assert lines(page, "user") == texts
            assert lines(page, "reply")[1:] == ["Go on.", LONG.partition(" And")[0], "All right."]
            assert page.page.locator(".line.heard").count() == 1
            assert "sounds sad, 71 % sure · valence 0.20 · arousal 0.30" in page.page.locator("#lines").inner_text()
            assert page.page.locator("#medians").inner_text().startswith("Medians: after")
            assert page.page.locator(".planted, #lines img").count() == 0
            assert PRIVATE in page.page.locator("footer").inner_text()
            hushed = page.page.evaluate("hushed")[0]
            loud = page.page.evaluate("loud")
            begins = next(b for a, b in zip(loud, loud[1:], strict=False) if b - a > 1000 and b > hushed - 1500)
            print("hushed after", hushed - begins)
            spoken = talking.mind.asked[3][-2]
            assert spoken[0] == "assistant"
            assert spoken[1].startswith("This is a")
            assert spoken[1].endswith(CUT_MARK)
            page.page.screenshot(path=tmp_path / "talk.png")
            page.page.click("#clear")
            page.wait(count_is("user", 0))
            assert page.complaints == []
            assert page.requests == []
            page.page.click("#end")
            page.wait(talk_is("ended"))
            assert page.page.locator("#notice").inner_text() == "The talk has ended. Nothing is kept."
