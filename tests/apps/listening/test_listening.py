import base64
import io
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from browser import acted, needs_chromium
from command import Command
from finished_corpora import clip_row, corpus_folder
from numpy.typing import NDArray
from paired_conversations import LATER, RECORDED_HZ, TAGS, work_folder

from dailytalk_contiguous.apps.listening import listening
from dailytalk_contiguous.apps.listening.agreement import judged_pairs, read_test
from dailytalk_contiguous.apps.listening.listening import key_path
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.sound.loudness import loudness

EMOTIONS = ("happy", "sad", "angry")

#: What a listener does, appended to the page: two clips by keyboard, one by skipping, and a save that is caught.
LISTENER = """<script>
const press = (key) => document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
URL.createObjectURL = (blob) => {
  blob.text().then((text) => { document.body.appendChild(document.createElement("pre")).textContent = text; });
  return "#";
};
document.getElementById("name").value = "Ann B";
document.getElementById("begin").click();
for (const key of ["1", "q", "d", "Enter", "2", "w", "Enter", "a", "Enter"]) press(key);
document.getElementById("skip").click();
document.getElementById("download").click();
</script>"""

#: Visits of the page on one machine, each after it was loaded again: Ann rates two clips, Bob comes, Ann comes
#: again and goes on, and then starts over. Told of each: whether anything was asked, the clip, how much is chosen
#: for it, and the clips with answers.
VISITS = """<script>
const visits = JSON.parse(sessionStorage.getItem("visits") || "[]");
const who = ["Ann", "Bob", "Ann", "Ann"][visits.length];
if (!who) document.body.appendChild(document.createElement("pre")).textContent = JSON.stringify(visits);
else {
  const press = (key, target) => target.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  URL.createObjectURL = (blob) => {
    blob.text().then((text) => {
      visits.push({
        asked,
        at: document.getElementById("where").textContent,
        chosen: document.querySelectorAll("#choices input:checked").length,
        answers: Object.keys(JSON.parse(text).answers),
      });
      sessionStorage.setItem("visits", JSON.stringify(visits));
      location.reload();
    });
    return "#";
  };
  document.getElementById("name").value = who;
  press("Enter", document.getElementById("name"));
  const asked = !document.getElementById("either").hidden;
  if (asked) document.getElementById(visits.length === 2 ? "resume" : "over").click();
  const keys = visits.length ? [] : ["1", "q", "d", "Enter", "2", "w", "a", "Enter"];
  for (const key of keys) press(key, document.body);
  document.getElementById("save").click();
}
</script>"""


def write_listening_test(folder: Path, page: Path, count: int, seed: int = 0) -> Path:
    listening.write_listening_test(folder, page, count, seed)
    return page


def write_paired_test(folder: Path, page: Path, count: int, seed: int = 0) -> Path:
    listening.write_paired_test(folder, page, count, seed)
    return page


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    rows = []
    for emotion in EMOTIONS:
        label = f"label_{emotion}"
        for n in range(5):
            row = clip_row(f"secret{n}-{emotion}", emotion, 0.3, speaker=f"acted/s{n}", label=label)
            rows.append(row)
    rows.append(clip_row("copy", "sad", 0.3, augmented_from="acted/secret0-sad"))
    rows.append(clip_row("none", None, 0.3))
    return corpus_folder(tmp_path / "work", rows)


def shown(page: Path) -> dict[str, Any]:
    script = r'<script id="test" type="application/json">(.*?)</script>'
    match = re.search(script, page.read_text(), re.DOTALL)
    assert match
    return json.loads(match[1])


def shown_with(page: Path, field: str) -> list[dict[str, Any]]:
    """Clips of the page that have a field."""
    return [clip for clip in shown(page)["clips"] if field in clip]


def key(page: Path) -> dict[str, Any]:
    text = key_path(page).read_text(encoding="utf-8")
    return json.loads(text)


def answers(path: Path, page: Path, choices: dict[str, Any], listener: str = "ann", **more: Any) -> Path:
    test = shown(page)
    saved = {
        "kind": test["kind"],
        "test": test["test"],
        "listener": listener,
        "answers": choices,
    }
    path.write_text(json.dumps(saved | more))
    return path


def test_the_page_tells_nothing_of_its_clips(tmp_path: Path, corpus: Path) -> None:
    page = write_listening_test(corpus, tmp_path / "page.html", 9)
    text = page.read_text(encoding="utf-8")
    clips = shown(page)["clips"]
    assert len(clips) == 9
    assert {name for clip in clips for name in clip} == {"id", "sound"}
    for secret in key(page)["clips"].values():
        for name in ("id", "speaker", "label"):
            assert secret[name] not in text


@needs_chromium
def test_a_listener_with_a_keyboard_saves_answers_that_can_be_read(tmp_path: Path, corpus: Path) -> None:
    page = write_listening_test(corpus, tmp_path / "page.html", 3)
    saved = tmp_path / "saved.json"
    saved.write_text(acted(page, LISTENER))
    first, second = shown(page)["emotions"][:2]
    _, listeners = read_test(key_path(page), [saved])
    answered = listeners["Ann B"]
    assert set(answered) == {"c001", "c002"}
    assert answered["c001"] == {"emotion": first, "style": "normal", "confidence": "certain"}
    # Enter does not go on before all is said: the second one did nothing.
    assert answered["c002"] == {"emotion": second, "style": "whispered", "confidence": "guessing"}


@needs_chromium
def test_answers_are_kept_for_the_listener_who_gave_them_and_shown_to_nobody_else(
    tmp_path: Path, corpus: Path
) -> None:
    page = write_listening_test(corpus, tmp_path / "page.html", 3)
    ann_first, bob, ann_again, ann_anew = json.loads(acted(page, VISITS))
    begun = {"at": "Clip 1 of 3", "chosen": 0, "answers": []}
    gone_on = {"at": "Clip 3 of 3", "chosen": 0, "answers": ["c001", "c002"]}
    assert ann_first == {"asked": False} | gone_on
    assert bob == {"asked": False} | begun
    assert ann_again == {"asked": True} | gone_on
    assert ann_anew == {"asked": True} | begun


@pytest.mark.parametrize(
    ("choices", "more", "word"),
    [
        ({}, {"test": "another"}, "answers another test"),
        ({"c001": {"emotion": "hungry"}}, {}, "'hungry', which is no emotion of the test"),
    ],
)
def test_answers_that_do_not_belong_to_the_test_are_refused(
    tmp_path: Path, corpus: Path, choices: dict[str, Any], more: dict[str, Any], word: str
) -> None:
    page = write_listening_test(corpus, tmp_path / "page.html", 3)
    saved = answers(tmp_path / "a.json", page, choices, **more)
    with pytest.raises(DailytalkError, match=word):
        read_test(key_path(page), [saved])


# Conversations in pairs.


#: What a listener does: B is played and preferred in the first pair, neither in the second; then the tags.
PAIRED_LISTENER = """<script>
const press = (key) => document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
URL.createObjectURL = (blob) => {
  blob.text().then((text) => { document.body.appendChild(document.createElement("pre")).textContent = text; });
  return "#";
};
document.getElementById("name").value = "Ann B";
document.getElementById("begin").click();
for (const key of ["b", "Enter", "3", "Enter", "2", "Enter", "4", "Enter", "1", "Enter"]) press(key);
document.getElementById("download").click();
</script>"""


def heard(sound: str) -> tuple[NDArray[np.float32], int]:
    file = io.BytesIO(base64.b64decode(sound))
    samples, rate = soundfile.read(file, dtype="float32")
    return samples, rate


def is_recorded(sound: str) -> bool:
    samples, rate = heard(sound)
    spectrum = np.abs(np.fft.rfft(samples))
    loudest_hz = np.argmax(spectrum) * rate / len(samples)
    return abs(loudest_hz - RECORDED_HZ) < 5.0


def seconds_of(sound: str) -> float:
    samples, rate = heard(sound)
    return len(samples) / rate


def test_a_pair_is_the_recording_and_what_was_rebuilt_of_it_equally_loud(tmp_path: Path) -> None:
    page = write_paired_test(work_folder(tmp_path), tmp_path / "page.html", 4)
    pairs = {clip["id"]: clip["sounds"] for clip in shown_with(page, "sounds")}
    assert len(pairs) == 4
    secrets = key(page)["clips"]
    for name, (a, b) in pairs.items():
        secret = secrets[name]
        assert is_recorded(a) == (secret["recorded"] == "A")
        assert is_recorded(b) == (secret["recorded"] == "B")
        for sound in (a, b):
            samples, _ = heard(sound)
            assert samples.ndim == 1
        loudness_a = loudness(*heard(a))
        loudness_b = loudness(*heard(b))
        assert abs(loudness_a - loudness_b) < 0.5
        assert secret["source_start"] == pytest.approx(secret["start"] + LATER)
        seconds = secret["end"] - secret["start"]
        for sound in (a, b):
            assert seconds_of(sound) == pytest.approx(seconds, abs=0.1)
    recorded = Counter(secrets[name]["recorded"] for name in pairs)
    assert recorded == {"A": 2, "B": 2}


def test_the_page_of_pairs_tells_nothing_of_what_is_recorded(tmp_path: Path) -> None:
    page = write_paired_test(work_folder(tmp_path), tmp_path / "page.html", 4)
    pair = frozenset(("id", "sounds"))
    line = frozenset(("id", "sound", "choices"))
    fields = {frozenset(clip) for clip in shown(page)["clips"]}
    assert fields == {pair, line}
    assert not re.search("secret|recorded|rebuilt", page.read_text(encoding="utf-8"))


def test_a_line_is_offered_with_its_tag_and_three_others_of_the_dataset(tmp_path: Path) -> None:
    page = write_paired_test(work_folder(tmp_path, 5), tmp_path / "page.html", 5)
    secrets = key(page)["clips"].values()
    lines = [secret for secret in secrets if "tag" in secret]
    tags = Counter(line["tag"] for line in lines)
    assert tags == dict.fromkeys(TAGS, 1)
    for line in lines:
        choices = line["choices"]
        assert choices == sorted(choices)
        offered_tags = {line["tag"], *choices} & {*TAGS}
        assert len(offered_tags) == len(choices) == 4
    for clip in shown_with(page, "sound"):
        assert seconds_of(clip["sound"]) >= 0.8
        assert not is_recorded(clip["sound"])


def test_pairs_without_their_recording_are_refused_in_one_sentence(tmp_path: Path) -> None:
    work = work_folder(tmp_path, 1)
    (tmp_path / "secret0.FLAC").unlink()
    sentence = r"'secret0' can't be heard as it was recorded: its recording .* is gone"
    with pytest.raises(DailytalkError, match=sentence):
        write_paired_test(work, tmp_path / "page.html", 1)
    assert not (tmp_path / "page.html").exists()


def test_preferences_and_tags_that_are_heard_are_shares_with_intervals_and_chance(tmp_path: Path) -> None:
    page = write_paired_test(work_folder(tmp_path), tmp_path / "page.html", 4)
    clips = key(page)["clips"]
    pairs = [name for name in clips if name.startswith("p")]
    lines = [name for name in clips if name.startswith("t")]
    first_pair, second_pair = pairs[:2]
    first_line = lines[0]
    right_tag = clips[first_line]["tag"]
    wrong_tag = next(choice for choice in clips[first_line]["choices"] if choice != right_tag)
    rebuilt = {"A": "B", "B": "A"}[clips[first_pair]["recorded"]]
    ann = {name: {"natural": clips[name]["recorded"]} for name in pairs}
    ann |= {name: {"tag": clips[name]["tag"]} for name in lines}
    bob = {
        first_pair: {"natural": rebuilt},
        second_pair: {"natural": "same"},
        first_line: {"tag": wrong_tag},
    }
    ann_file = answers(tmp_path / "ann.json", page, ann, "ann")
    bob_file = answers(tmp_path / "bob.json", page, bob, "bob")
    test = read_test(key_path(page), [ann_file, bob_file])
    judged = json.loads(json.dumps(judged_pairs(*test)))
    natural = judged["natural"]
    assert natural["rebuilt"] == 1 / 6
    assert natural["same"] == 1 / 6
    assert natural["recorded"] == 4 / 6
    score = natural["score"]
    # By clip: (0 + 1)/2, (0 + 0.5)/2, 0, 0.
    assert score["mean"] == pytest.approx(0.75 / 4)
    assert 0 < score["low"] < score["mean"] < score["high"] < 1
    assert score["chance"] == 0.5
    assert score["n_clips"] == 4
    assert score["n_ratings"] == 6
    tag = judged["tag"]
    heard_tags = tag["heard"]
    assert heard_tags["mean"] == pytest.approx(3.5 / 4)
    assert heard_tags["chance"] == 0.25
    assert heard_tags["n_clips"] == 4
    assert heard_tags["n_ratings"] == 5
    first_tag = tag["by_tag"][right_tag]
    assert first_tag["mean"] == 0.5
    assert first_tag["n_clips"] == 1
    assert first_tag["n_ratings"] == 2
    assert tag["confusion"][right_tag] == {right_tag: 1, wrong_tag: 1}
    assert tag["raters"]["ann"]["accuracy"] == 1.0
    assert tag["raters"]["bob"]["accuracy"] == 0.0


@needs_chromium
def test_a_listener_answers_pairs_and_tags_with_the_keyboard(tmp_path: Path) -> None:
    page = write_paired_test(work_folder(tmp_path, 2), tmp_path / "page.html", 2)
    saved = tmp_path / "saved.json"
    saved.write_text(acted(page, PAIRED_LISTENER))
    choices = {clip["id"]: clip["choices"] for clip in shown_with(page, "choices")}
    for offered in choices.values():
        assert len(offered) == 2  # there are two tags
    _, listeners = read_test(key_path(page), [saved])
    first_tag = choices["t001"][0]
    answered = listeners["Ann B"]
    assert set(answered) == {"p001", "p002", "t001"}
    assert answered["p001"] == {"natural": "B"}
    assert answered["p002"] == {"natural": "same"}
    assert answered["t001"] == {"tag": first_tag}  # 4 is no choice: Enter did nothing until 1 was pressed


def test_options_of_the_report_are_refused_for_a_listening_test(tmp_path: Path, dailytalk: Command) -> None:
    page = tmp_path / "page.html"
    for option in (("--conversations", "2"), ("--limit", "clipping=0.1")):
        done = dailytalk("report", tmp_path, "--listening-test", "2", "--out", page, *option)
        assert done.code == 2
        assert "--conversations and --limit are only for the report" in done.err
