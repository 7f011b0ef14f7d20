"""The whole loop with trained weights: from a file to an answer that is spoken."""

import json
import os
from pathlib import Path

import soundfile
from chat_server import REPLY, ChatServer
from command import Command

from dailytalk_contiguous.core.word_times import normalise, split_words
from dailytalk_contiguous.models.whisper import RecogniserInput, recognise
from dailytalk_contiguous.publish.opening import open_items

USER = Path(__file__).parents[3] / "examples/spoken_user"
TURNS = ["I lost my keys this morning and I was late for work.", "My sister is coming to visit me next week."]
EMBEDDED = ("converse", "--profile", "embedded", "--asr-model", "tiny.en")


def plain(text: str) -> list[str]:
    return [normalise(word) for word in split_words(text)]


def test_two_turns_are_heard_answered_by_a_server_and_the_answers_spoken(
    tmp_path: Path, dailytalk: Command
) -> None:
    instructions, write = os.pipe()
    os.write(write, b"Answer as a friend.")
    os.close(write)
    files = [word for name in ("1_keys", "2_sister") for word in ("--input", USER / f"{name}.flac")]
    with ChatServer() as server:
        options = ("--chat", server.url, "--system", f"/dev/fd/{instructions}", "--json")
        done = dailytalk(*EMBEDDED, *files, *options, "--out", tmp_path / "talks")
    os.close(instructions)
    assert done.code == 0, done.err
    last = server.asked[-1]["messages"]
    assert last[0] == {"role": "system", "content": "Answer as a friend."}
    asked = [message["content"].split("\n")[0] for message in last if message["role"] == "user"]
    assert [plain(text) for text in asked] == [plain(text) for text in TURNS]
    answers = {message["content"] for message in last if message["role"] == "assistant"}
    assert answers == {REPLY}
    samples, rate = soundfile.read(json.loads(done.out)["talk"], dtype="float32")
    (row,) = open_items(tmp_path / "talks").rows()
    spoken = []
    for utterance in row["utterances"]:
        if utterance["channel"] == "left":
            start = round(utterance["start"] * rate)
            end = round(utterance["end"] * rate)
            spoken.append(RecogniserInput(samples[start:end, 0], rate, "en"))
    heard: list[str] = []
    for words in recognise("tiny.en", "cpu", "auto", spoken):
        text = "".join(word.text for word in words)
        heard += plain(text)
    assert heard == 2 * plain(REPLY.removeprefix("(calm) "))
