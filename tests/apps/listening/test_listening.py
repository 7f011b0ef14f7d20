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
from dailytalk_contiguous.core.loudness import loudness

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
    rows = [
        clip_row(f"secret{n}-{emotion}", emotion, 0.3, speaker=f"acted/s{n}", label=f"label_{emotion}")
        for emotion in EMOTIONS
        for n in range(5)
    ]
    copy = clip_row("copy", "sad", 0.3, augmented_from="acted/secret0-sad")
    return corpus_folder(tmp_path / "work", [*rows, copy, clip_row("none", None, 0.3)])


def shown(page: Path) -> dict[str, Any]:
    found = re.search(r'<script id="test" type="application/json">(.*?)</script>', page.read_text(), re.DOTALL)
    assert found
    return json.loads(found[1])


def key(page: Path) -> dict[str, Any]:
    return json.loads(key_path(page).read_text(encoding="utf-8"))


def answers(path: Path, page: Path, choices: dict[str, Any], listener: str = "ann", **more: Any) -> Path:
    told = {"kind": shown(page)["kind"], "test": shown(page)["test"], "listener": listener, "answers": choices}
    path.write_text(json.dumps(told | more))
    return path


def test_the_page_tells_nothing_of_its_clips(tmp_path: Path, corpus: Path) -> None:
    page = write_listening_test(corpus, tmp_path / "page.html", 9)
    text = page.read_text(encoding="utf-8")
    assert len(shown(page)["clips"]) == 9
    assert {name for clip in shown(page)["clips"] for name in clip} == {"id", "sound"}
    for one in key(page)["clips"].values():
        for name in ("id", "speaker", "label"):
            assert one[name] not in text


@needs_chromium
def test_a_listener_with_a_keyboard_saves_answers_that_can_be_read(tmp_path: Path, corpus: Path) -> None:
    page = write_listening_test(corpus, tmp_path / "page.html", 3)
    (tmp_path / "saved.json").write_text(acted(page, LISTENER))
    first, second = shown(page)["emotions"][:2]
    found = read_test(key_path(page), [tmp_path / "saved.json"])[1]["Ann B"]
    assert found == {
        "c001": {"emotion": first, "style": "normal", "confidence": "certain"},
        # Enter does not go on before all is said: the second one did nothing.
        "c002": {"emotion": second, "style": "whispered", "confidence": "guessing"},
    }


@needs_chromium
def test_answers_are_kept_for_the_listener_who_gave_them_and_shown_to_nobody_else(
    tmp_path: Path, corpus: Path
) -> None:
    page = write_listening_test(corpus, tmp_path / "page.html", 3)
    ann_first, bob, ann_again, ann_anew = json.loads(acted(page, VISITS))
    assert ann_first == {"asked": False, "at": "Clip 3 of 3", "chosen": 0, "answers": ["c001", "c002"]}
    assert bob == {"asked": False, "at": "Clip 1 of 3", "chosen": 0, "answers": []}
    assert ann_again == {"asked": True, "at": "Clip 3 of 3", "chosen": 0, "answers": ["c001", "c002"]}
    assert ann_anew == {"asked": True, "at": "Clip 1 of 3", "chosen": 0, "answers": []}


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
    with pytest.raises(DailytalkError, match=word):
        read_test(key_path(page), [answers(tmp_path / "a.json", page, choices, **more)])


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
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(sound)), dtype="float32")
    return samples, rate


def is_recorded(sound: str) -> bool:
    samples, rate = heard(sound)
    return abs(np.argmax(np.abs(np.fft.rfft(samples))) * rate / len(samples) - RECORDED_HZ) < 5.0


def test_a_pair_is_the_recording_and_what_was_rebuilt_of_it_equally_loud(tmp_path: Path) -> None:
    page = write_paired_test(work_folder(tmp_path), tmp_path / "page.html", 4)
    pairs = {clip["id"]: clip["sounds"] for clip in shown(page)["clips"] if "sounds" in clip}
    assert len(pairs) == 4
    for name, sounds in pairs.items():
        told = key(page)["clips"][name]
        assert [is_recorded(sound) for sound in sounds] == [told["recorded"] == "A", told["recorded"] == "B"]
        assert [heard(sound)[0].ndim for sound in sounds] == [1, 1]
        assert abs(loudness(*heard(sounds[0])) - loudness(*heard(sounds[1]))) < 0.5
        assert told["source_start"] == pytest.approx(told["start"] + LATER)
        for sound in sounds:
            assert len(heard(sound)[0]) / heard(sound)[1] == pytest.approx(told["end"] - told["start"], abs=0.1)
    assert Counter(key(page)["clips"][name]["recorded"] for name in pairs) == {"A": 2, "B": 2}


def test_the_page_of_pairs_tells_nothing_of_what_is_recorded(tmp_path: Path) -> None:
    page = write_paired_test(work_folder(tmp_path), tmp_path / "page.html", 4)
    assert {frozenset(clip) for clip in shown(page)["clips"]} == {
        frozenset(("id", "sounds")),
        frozenset(("id", "sound", "choices")),
    }
    assert not re.search("secret|recorded|rebuilt", page.read_text(encoding="utf-8"))


def test_a_line_is_offered_with_its_tag_and_three_others_of_the_dataset(tmp_path: Path) -> None:
    page = write_paired_test(work_folder(tmp_path, 5), tmp_path / "page.html", 5)
    lines = [fields for fields in key(page)["clips"].values() if "tag" in fields]
    assert Counter(line["tag"] for line in lines) == dict.fromkeys(TAGS, 1)
    for line in lines:
        assert line["choices"] == sorted(line["choices"])
        assert len({line["tag"], *line["choices"]} & {*TAGS}) == len(line["choices"]) == 4
    for clip in shown(page)["clips"]:
        if "sound" in clip:
            assert len(heard(clip["sound"])[0]) / heard(clip["sound"])[1] >= 0.8
            assert not is_recorded(clip["sound"])


def test_pairs_without_their_recording_are_refused_in_one_sentence(tmp_path: Path) -> None:
    work = work_folder(tmp_path, 1)
    (tmp_path / "secret0.FLAC").unlink()
    with pytest.raises(
        DailytalkError, match=r"'secret0' can't be heard as it was recorded: its recording .* is gone"
    ):
        write_paired_test(work, tmp_path / "page.html", 1)
    assert not (tmp_path / "page.html").exists()


def test_preferences_and_tags_that_are_heard_are_shares_with_intervals_and_chance(tmp_path: Path) -> None:
    page = write_paired_test(work_folder(tmp_path), tmp_path / "page.html", 4)
    clips = key(page)["clips"]
    pairs = [name for name in clips if name.startswith("p")]
    lines = [name for name in clips if name.startswith("t")]
    other = {"A": "B", "B": "A"}
    ann = {name: {"natural": clips[name]["recorded"]} for name in pairs}
    ann |= {name: {"tag": clips[name]["tag"]} for name in lines}
    bob = {pairs[0]: {"natural": other[clips[pairs[0]]["recorded"]]}, pairs[1]: {"natural": "same"}}
    wrong = next(choice for choice in clips[lines[0]]["choices"] if choice != clips[lines[0]]["tag"])
    bob |= {lines[0]: {"tag": wrong}}
    files = [answers(tmp_path / f"{name}.json", page, own, name) for name, own in (("ann", ann), ("bob", bob))]
    told = json.loads(json.dumps(judged_pairs(*read_test(key_path(page), files))))
    natural = told["natural"]
    tag = told["tag"]
    assert (natural["rebuilt"], natural["same"], natural["recorded"]) == (1 / 6, 1 / 6, 4 / 6)
    score = natural["score"]
    heard_tags = tag["heard"]
    # By clip: (0 + 1)/2, (0 + 0.5)/2, 0, 0.
    assert score["mean"] == pytest.approx(0.75 / 4)
    assert 0 < score["low"] < score["mean"] < score["high"] < 1
    assert (score["chance"], score["n_clips"], score["n_ratings"]) == (0.5, 4, 6)
    assert heard_tags["mean"] == pytest.approx(3.5 / 4)
    assert (heard_tags["chance"], heard_tags["n_clips"], heard_tags["n_ratings"]) == (0.25, 4, 5)
    own = tag["by_tag"][clips[lines[0]]["tag"]]
    assert (own["mean"], own["n_clips"], own["n_ratings"]) == (0.5, 1, 2)
    assert tag["confusion"][clips[lines[0]]["tag"]] == {clips[lines[0]]["tag"]: 1, wrong: 1}
    assert (tag["raters"]["ann"]["accuracy"], tag["raters"]["bob"]["accuracy"]) == (1.0, 0.0)


@needs_chromium
def test_a_listener_answers_pairs_and_tags_with_the_keyboard(tmp_path: Path) -> None:
    page = write_paired_test(work_folder(tmp_path, 2), tmp_path / "page.html", 2)
    (tmp_path / "saved.json").write_text(acted(page, PAIRED_LISTENER))
    choices = {clip["id"]: clip["choices"] for clip in shown(page)["clips"] if "choices" in clip}
    assert {len(offered) for offered in choices.values()} == {2}  # there are two tags
    assert read_test(key_path(page), [tmp_path / "saved.json"])[1]["Ann B"] == {
        "p001": {"natural": "B"},
        "p002": {"natural": "same"},
        "t001": {"tag": choices["t001"][0]},  # 4 is no choice: Enter did nothing until 1 was pressed
    }


def test_options_of_the_report_are_refused_for_a_listening_test(tmp_path: Path, dailytalk: Command) -> None:
    page = tmp_path / "page.html"
    for option in (("--conversations", "2"), ("--limit", "clipping=0.1")):
        done = dailytalk("report", tmp_path, "--listening-test", "2", "--out", page, *option)
        assert (done.code, "--conversations and --limit are of the report alone" in done.err) == (2, True)
