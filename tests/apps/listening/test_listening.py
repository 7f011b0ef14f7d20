import json
import re
from pathlib import Path
from typing import Any

import pytest
from browser import acted, needs_chromium
from command import Command
from finished_corpora import clip_row, corpus_folder

from dailytalk_contiguous.apps.listening import listening
from dailytalk_contiguous.apps.listening.agreement import read_test
from dailytalk_contiguous.apps.listening.listening import key_path
from dailytalk_contiguous.core.errors import DailytalkError

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


def test_options_of_the_report_are_refused_for_a_listening_test(tmp_path: Path, dailytalk: Command) -> None:
    page = tmp_path / "page.html"
    for option in (("--conversations", "2"), ("--limit", "clipping=0.1")):
        done = dailytalk("report", tmp_path, "--listening-test", "2", "--out", page, *option)
        assert done.code == 2
        assert "--conversations and --limit are only for the report" in done.err
