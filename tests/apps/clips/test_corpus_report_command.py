import json
from pathlib import Path

import pytest
from command import Command
from finished_corpora import clip_row, corpus_folder, measures
from paired_conversations import work_folder


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    rows = [clip_row(f"s{n}-{emotion}", emotion, 0.3) for emotion in ("happy", "sad") for n in range(4)]
    return corpus_folder(tmp_path / "work", rows, measured=[measures()] * 8)


def test_report_knows_a_corpus(dailytalk: Command, corpus: Path) -> None:
    done = dailytalk("report", corpus)
    assert (done.code, done.err) == (0, "")
    assert "8 of 8 clips can be heard" in done.out
    assert "lacks to 30 minutes" in (corpus / "report.html").read_text(encoding="utf-8")


def test_agreement_of_a_listening_test(tmp_path: Path, dailytalk: Command, corpus: Path) -> None:
    made = dailytalk(
        "report", corpus, "--listening-test", "6", "--seed", "1", "--out", tmp_path / "t.html", "--json"
    )
    told = json.loads(made.out)
    assert (told["clips"], told["key"]) == (6, str(tmp_path / "t.key.json"))
    key = json.loads((tmp_path / "t.key.json").read_text())
    answer = {"kind": "dailytalk listening test answers", "test": key["test"]}
    for name, wrong in (("ann", 0), ("bob", 1)):
        chosen = {clip: {"emotion": one["emotion"], "style": "normal"} for clip, one in key["clips"].items()}
        for clip in list(chosen)[:wrong]:
            chosen[clip]["emotion"] = "other"
        (tmp_path / f"{name}.json").write_text(json.dumps(answer | {"listener": name, "answers": chosen}))
    files = [tmp_path / "ann.json", tmp_path / "bob.json"]
    done = dailytalk("agreement", tmp_path / "t.key.json", *files)
    assert (done.code, done.err) == (0, "")
    assert "6 clips, 2 listeners" in done.out
    assert "style: kappa is not defined: everybody always chose normal" in done.out
    found = json.loads(dailytalk("agreement", tmp_path / "t.key.json", *files, "--json").out)
    assert found["emotion"]["against_labels"]["accuracy"] == pytest.approx(11 / 12)
    assert found["emotion"]["raters"]["bob"]["with_others"] == pytest.approx(5 / 6)
    assert set(found["emotion"]["kappa"]["by_category"]) == {"happy", "sad", "other"}


def test_conversations_have_a_listening_test_of_pairs(tmp_path: Path, dailytalk: Command) -> None:
    work = work_folder(tmp_path, 4)
    refused = dailytalk("report", work, "--listening-test", "3", "--out", tmp_path / "t.html")
    assert (refused.code, "add --pairs" in refused.err) == (1, True)
    made = dailytalk("report", work, "--listening-test", "3", "--pairs", "--out", tmp_path / "t.html")
    assert made.out.splitlines()[-1] == f"next: dailytalk agreement {tmp_path}/t.key.json ANSWERS.json"
    key = json.loads((tmp_path / "t.key.json").read_text())
    answer = {"kind": "dailytalk paired listening test answers", "test": key["test"], "answers": {}}
    for clip, fields in key["clips"].items():
        answer["answers"][clip] = {"natural": "same"} if "recorded" in fields else {"tag": fields["choices"][0]}
    (tmp_path / "ann.json").write_text(json.dumps(answer))
    done = dailytalk("agreement", tmp_path / "t.key.json", tmp_path / "ann.json")
    assert (done.code, done.err) == (0, "")
    assert "the rebuilt gets 50 % (95 % from 13 to 87 %; guessing gives 50 %)" in done.out
    told = json.loads(dailytalk("agreement", tmp_path / "t.key.json", tmp_path / "ann.json", "--json").out)
    assert (told["clips"], told["natural"]["same"], told["tag"]["heard"]["chance"]) == (6, 1.0, 0.25)
