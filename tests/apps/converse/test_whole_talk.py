"""The whole loop with trained weights: from a file to an answer that is spoken."""

import json
import os
import re
import shlex
import subprocess
from itertools import pairwise
from pathlib import Path
from subprocess import PIPE

import pytest
import soundfile
from chat_server import REPLY, ChatServer
from command import Command

from dailytalk_contiguous.core.words.word_times import normalise, split_words
from dailytalk_contiguous.models.whisper import RecogniserInput, recognise
from dailytalk_contiguous.publish.opening import open_items

ROOT = Path(__file__).parents[3]
USER = ROOT / "examples/spoken_user"
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
        text = "".join(word.word for word in words)
        heard += plain(text)
    assert heard == 2 * plain(REPLY.removeprefix("(calm) "))


def test_the_commands_of_make_converse_end_in_a_good_dataset_for_moshi(
    tmp_path: Path, dailytalk: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    talks = tmp_path / "talks"
    with ChatServer() as server:
        variables = (f"CHAT={server.url}", f"TALKS_OUT={talks}", "BIN=.")
        recipe = subprocess.run(["make", "--dry-run", "converse", *variables], stdout=PIPE, text=True, check=True)
        commands = re.findall(r"^\./dailytalk (.+)$", recipe.stdout.replace("\\\n", " "), re.MULTILINE)
        outputs = []
        for command in commands:
            done = dailytalk(*shlex.split(command))
            assert done.code == 0, done.out + done.err
            outputs.append(done.out)
    assert len(outputs) == 3
    assert "bad" not in outputs[1]
    moshi = dailytalk("check", f"{talks}-moshi")
    assert moshi.code == 0, moshi.out
    alignments = json.loads(next(talks.glob("talk-*.json")).read_text())["alignments"]
    for speaker in ("SPEAKER_MAIN", "SPEAKER_OTHER"):
        spans = [span for _, span, who in alignments if who == speaker]
        assert len(spans) > 10
        assert all(before[1] <= after[0] for before, after in pairwise(spans))
