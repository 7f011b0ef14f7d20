import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from browser import acted, needs_chromium
from finished_corpora import clip_row, corpus_folder

from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.publish.listening import agreement_of, key_path, read_test, write_listening_test

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
    page = write_listening_test(corpus, tmp_path / "page.html", 9).page
    text = page.read_text(encoding="utf-8")
    assert len(shown(page)["clips"]) == 9
    assert {name for clip in shown(page)["clips"] for name in clip} == {"id", "sound"}
    for one in key(page)["clips"].values():
        for name in ("id", "speaker", "label"):
            assert one[name] not in text


def test_nothing_in_the_sound_tells_its_clip(tmp_path: Path, corpus: Path) -> None:
    page = write_listening_test(corpus, tmp_path / "page.html", 9).page
    # These clips differ by their labels alone: what is heard of them has to be the same to the byte.
    assert len({clip["sound"] for clip in shown(page)["clips"]}) == 1


def test_clips_are_spread_over_emotions_and_speakers_and_are_no_copies(tmp_path: Path, corpus: Path) -> None:
    page = write_listening_test(corpus, tmp_path / "page.html", 9).page
    clips = key(page)["clips"].values()
    assert Counter(one["emotion"] for one in clips) == dict.fromkeys(EMOTIONS, 3)
    for emotion in EMOTIONS:
        assert len({one["speaker"] for one in clips if one["emotion"] == emotion}) == 3
    assert not {"acted/copy", "acted/none"} & {one["id"] for one in clips}


def test_the_order_is_shuffled_by_the_seed_and_by_nothing_else(tmp_path: Path, corpus: Path) -> None:
    pages = [
        write_listening_test(corpus, tmp_path / f"{n}.html", 15, seed).page for n, seed in enumerate((1, 1, 2))
    ]
    orders = [[one["id"] for one in key(page)["clips"].values()] for page in pages]
    assert pages[0].read_bytes() == pages[1].read_bytes()
    assert sorted(orders[0]) == sorted(orders[2])
    assert orders[0] != orders[2]
    assert orders[0] != sorted(orders[0])
    assert [one.rpartition("-")[2] for one in orders[0]] != list(EMOTIONS) * 5


def test_fewer_clips_are_taken_where_there_are_no_more(tmp_path: Path, corpus: Path) -> None:
    assert write_listening_test(corpus, tmp_path / "page.html", 100).clips == 15


def test_a_corpus_without_emotions_has_no_test(tmp_path: Path) -> None:
    folder = corpus_folder(tmp_path / "work", [clip_row("none", None)])
    with pytest.raises(DailytalkError, match="no finished clip with an emotion"):
        write_listening_test(folder, tmp_path / "page.html", 5)


def test_the_page_asks_no_network_and_loads_no_file(tmp_path: Path, corpus: Path) -> None:
    text = write_listening_test(corpus, tmp_path / "page.html", 3).page.read_text()
    assert "default-src 'none'" in text
    assert not re.search(r"(src|href)=\"(?!data:)|https?://", text)


@needs_chromium
def test_a_listener_with_a_keyboard_saves_answers_that_can_be_read(tmp_path: Path, corpus: Path) -> None:
    page = write_listening_test(corpus, tmp_path / "page.html", 3).page
    (tmp_path / "saved.json").write_text(acted(page, LISTENER))
    first, second = shown(page)["emotions"][:2]
    found = read_test(key_path(page), [tmp_path / "saved.json"]).answers["Ann B"]
    assert found == {
        "c001": {"emotion": first, "style": "normal", "confidence": "certain"},
        # Enter does not go on before all is said: the second one did nothing.
        "c002": {"emotion": second, "style": "whispered", "confidence": "guessing"},
    }


@needs_chromium
def test_answers_are_kept_for_the_listener_who_gave_them_and_shown_to_nobody_else(
    tmp_path: Path, corpus: Path
) -> None:
    page = write_listening_test(corpus, tmp_path / "page.html", 3).page
    ann_first, bob, ann_again, ann_anew = json.loads(acted(page, VISITS))
    assert ann_first == {"asked": False, "at": "Clip 3 of 3", "chosen": 0, "answers": ["c001", "c002"]}
    assert bob == {"asked": False, "at": "Clip 1 of 3", "chosen": 0, "answers": []}
    assert ann_again == {"asked": True, "at": "Clip 3 of 3", "chosen": 0, "answers": ["c001", "c002"]}
    assert ann_anew == {"asked": True, "at": "Clip 1 of 3", "chosen": 0, "answers": []}


def test_answers_are_judged_against_labels_and_each_other(tmp_path: Path, corpus: Path) -> None:
    page = write_listening_test(corpus, tmp_path / "page.html", 6).page
    right = {
        name: {"emotion": one["emotion"], "style": "normal", "confidence": "certain"}
        for name, one in key(page)["clips"].items()
    }
    skipped = dict(list(right.items())[:4])
    files = [answers(tmp_path / f"{n}.json", page, own, n) for n, own in (("ann", right), ("bob", skipped))]
    test = read_test(key_path(page), files)
    found = agreement_of(test, "emotion")
    assert (found.kappa.overall, found.kappa.n_clips, found.kappa.n_ratings) == (1.0, 4, 8)
    assert found.against.accuracy == 1.0
    assert found.sure == {"certain": 1.0}
    assert agreement_of(test, "style").kappa.overall is None


@pytest.mark.parametrize(
    ("choices", "more", "word"),
    [
        ({}, {"test": "another"}, "answers another test"),
        ({}, {"kind": "shopping list"}, "is no dailytalk listening test answers"),
        ({"c999": {"emotion": "sad"}}, {}, "rates the clip 'c999'"),
        ({"c001": {"emotion": "hungry"}}, {}, "'hungry', which is no emotion of the test"),
        ({"c001": "sad"}, {}, "not an object"),
    ],
)
def test_answers_that_do_not_belong_to_the_test_are_refused(
    tmp_path: Path, corpus: Path, choices: dict[str, Any], more: dict[str, Any], word: str
) -> None:
    page = write_listening_test(corpus, tmp_path / "page.html", 3).page
    with pytest.raises(DailytalkError, match=word):
        read_test(key_path(page), [answers(tmp_path / "a.json", page, choices, **more)])


def test_same_answers_under_two_names_are_refused(tmp_path: Path, corpus: Path) -> None:
    page = write_listening_test(corpus, tmp_path / "page.html", 3).page
    given = {"c001": {"emotion": "sad", "style": "normal", "confidence": "certain"}}
    files = [answers(tmp_path / f"{name}.json", page, given, name) for name in ("ann", "bob")]
    with pytest.raises(DailytalkError, match=r"bob.json' holds the answers of 'ann' under the name 'bob'"):
        read_test(key_path(page), files)
    skipped = [answers(tmp_path / f"{name}.json", page, {}, name) for name in ("ann", "bob")]
    assert set(read_test(key_path(page), skipped).answers) == {"ann", "bob"}


def test_answers_are_not_read_through_a_link_out_of_their_folder(tmp_path: Path, corpus: Path) -> None:
    page = write_listening_test(corpus, tmp_path / "page.html", 3).page
    answers(tmp_path / "ann.json", page, {})
    (tmp_path / "sent").mkdir()
    (tmp_path / "sent" / "bob.json").symlink_to(tmp_path / "ann.json")
    with pytest.raises(BadInput, match="leads out"):
        read_test(key_path(page), [tmp_path / "sent" / "bob.json"])


def test_two_files_of_one_listener_are_refused(tmp_path: Path, corpus: Path) -> None:
    page = write_listening_test(corpus, tmp_path / "page.html", 3).page
    files = [answers(tmp_path / f"{n}.json", page, {}) for n in range(2)]
    with pytest.raises(DailytalkError, match="two files of the listener 'ann'"):
        read_test(key_path(page), files)


def test_what_answers_say_is_told_by_kind_and_by_how_sure_they_are(tmp_path: Path, corpus: Path) -> None:
    page = write_listening_test(corpus, tmp_path / "page.html", 3).page
    right = {name: one["emotion"] for name, one in key(page)["clips"].items()}
    wrong = {name: next(one for one in EMOTIONS if one != emotion) for name, emotion in right.items()}
    sure = dict(zip(right, ("guessing", "fairly", "certain"), strict=True))
    choices = {
        "ann": {name: {"emotion": right[name], "confidence": sure[name]} for name in right},
        "bob": {name: {"emotion": wrong[name], "confidence": "guessing"} for name in right},
        "cem": {name: {"emotion": None, "style": "normal"} for name in right},
    }
    files = [answers(tmp_path / f"{name}.json", page, own, name) for name, own in choices.items()]
    found = agreement_of(read_test(key_path(page), files), "emotion")
    assert list(found.sure.items()) == [("certain", 1.0), ("fairly", 1.0), ("guessing", 0.25)]
    told = found.as_dict()
    assert set(told) == {"kappa", "against_labels", "raters", "accuracy_by_confidence"}
    assert (told["kappa"]["n_clips"], told["kappa"]["n_ratings"], set(told["raters"])) == (3, 6, {"ann", "bob"})
    assert told["against_labels"]["accuracy"] == 0.5


def test_listener_without_a_name_has_that_of_the_file_and_two_of_one_name_are_refused(
    tmp_path: Path, corpus: Path
) -> None:
    page = write_listening_test(corpus, tmp_path / "page.html", 3).page
    assert set(read_test(key_path(page), [answers(tmp_path / "x.json", page, {}, " ")]).answers) == {"x"}
    files = [answers(tmp_path / f"{name}.json", page, {}, "ann") for name in "yz"]
    with pytest.raises(DailytalkError, match="two files of the listener 'ann'"):
        read_test(key_path(page), files)
