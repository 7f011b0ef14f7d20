"""What `check` says of folders for CSM and J-Moshi: fresh exports pass, and each fault is found."""

import json

import numpy as np
import pytest
import soundfile
from built_conversations import built_row

from dailytalk_contiguous.publish.checking import check_folder
from dailytalk_contiguous.publish.exports import export_csm, export_jmoshi


@pytest.fixture
def csm(tmp_path):
    export_csm([built_row("a"), built_row("b")], tmp_path / "csm")
    return tmp_path / "csm"


@pytest.fixture
def jmoshi(tmp_path):
    export_jmoshi([built_row("a"), built_row("b")], tmp_path / "j")
    return tmp_path / "j"


def kinds(folder):
    return [finding.kind for finding in check_folder(folder)[0]]


def edit_csm(folder, change):
    path = folder / "conversations.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    change(lines)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def edit_words(folder, change):
    path = folder / "text/a.json"
    words = json.loads(path.read_text())
    change(words)
    path.write_text(json.dumps(words))


def test_fresh_exports_have_no_findings_and_their_hours_are_told(csm, jmoshi):
    findings, facts = check_folder(csm)
    assert (findings, facts["kind"], facts["conversations"], facts["turns"]) == ([], "csm", 2, 8)
    assert facts["hours"] == pytest.approx(sum(facts["hours_of_role"].values()), abs=1e-4) != 0
    findings, facts = check_folder(jmoshi)
    assert (findings, facts["kind"], facts["files"], facts["words"]) == ([], "j-moshi", 2, 18)
    assert set(facts["words_of_speaker"]) == {"A", "B"}


def test_a_role_that_the_template_does_not_know(csm):
    edit_csm(csm, lambda lines: lines[0]["messages"][0].update(role="MAIN"))
    assert kinds(csm) == ["unknown-speaker"]


@pytest.mark.parametrize("message", [None, {}, {"role": "0", "content": [{"type": "text", "text": "Hello."}]}])
def test_a_message_without_its_text_or_audio(csm, message):
    edit_csm(csm, lambda lines: lines[0]["messages"].__setitem__(0, message))
    assert kinds(csm) == ["bad-message"]


def test_a_line_without_messages_and_one_that_occurs_twice(csm):
    edit_csm(csm, lambda lines: lines[0].pop("messages"))
    assert kinds(csm) == ["bad-line"]
    edit_csm(csm, lambda lines: lines.__setitem__(0, lines[1]))
    assert kinds(csm) == ["duplicate"]


def test_turns_whose_sound_is_gone_silent_or_stereo(csm):
    paths = sorted((csm / "audio/a").glob("*.wav"))
    paths[0].unlink()
    soundfile.write(paths[1], np.zeros(24000, np.int16), 24000)
    soundfile.write(paths[2], np.full((24000, 2), 5000, np.int16), 16000)
    assert sorted(kinds(csm)) == ["missing-audio", "not-mono", "silent-turn", "wrong-rate"]


def test_a_path_that_leads_out_of_the_folder_is_not_opened(csm):
    edit_csm(csm, lambda lines: lines[0]["messages"][0]["content"][1].update(path="../../etc/hostname"))
    assert kinds(csm) == ["unreadable-audio"]


def test_a_word_time_that_is_no_number(jmoshi):
    edit_words(jmoshi, lambda words: words[0].update(end=float("nan")))
    assert kinds(jmoshi) == ["unreadable-alignments"]


def test_a_speaker_who_is_neither_a_nor_b(jmoshi):
    edit_words(jmoshi, lambda words: words[0].update(speaker="SPEAKER_MAIN"))
    (finding,) = [one for one in check_folder(jmoshi)[0] if one.kind == "unknown-speaker"]
    assert (finding.level, "'SPEAKER_MAIN' (1)" in finding.what) == ("error", True)


def test_words_out_of_order_or_of_one_side_alone(jmoshi):
    edit_words(jmoshi, lambda words: words.reverse())
    assert "unsorted-words" in kinds(jmoshi)
    edit_words(
        jmoshi, lambda words: words.__setitem__(slice(None), [one for one in words if one["speaker"] == "A"])
    )
    assert "no-words" in kinds(jmoshi)


def test_a_wav_or_its_words_that_are_missing(jmoshi):
    (jmoshi / "text/a.json").unlink()
    (jmoshi / "audio/b.wav").unlink()
    assert sorted(kinds(jmoshi)) == ["missing-alignments", "missing-audio"]


def test_folders_without_anything_say_so(tmp_path):
    (tmp_path / "csm").mkdir()
    (tmp_path / "csm/conversations.jsonl").write_text("")
    assert kinds(tmp_path / "csm") == ["empty-manifest"]
    for name in ("audio", "text"):
        (tmp_path / "j" / name).mkdir(parents=True)
    findings, facts = check_folder(tmp_path / "j")
    assert [one.kind for one in findings] == ["empty-folder"]
    assert facts == {"kind": "j-moshi", "files": 0, "hours": 0.0, "words": 0, "words_of_speaker": {}}


def test_message_without_a_word_is_named_by_its_sound(csm):
    edit_csm(csm, lambda lines: lines[0]["messages"][0]["content"][0].update(text=" "))
    [finding] = check_folder(csm)[0]
    assert (finding.kind, finding.what) == ("empty-text", "the message of audio/a/0000.wav has no text")


def test_sound_for_j_moshi_that_is_mono_or_none(jmoshi):
    (jmoshi / "audio/a.wav").write_bytes(b"RIFF")
    soundfile.write(jmoshi / "audio/b.wav", np.full(144000, 5000, np.int16), 24000)
    findings = {one.kind: one.what for one in check_folder(jmoshi)[0]}
    assert findings["not-stereo"] == "it has 1 channel, not 2"
    assert set(findings) == {"unreadable-audio", "not-stereo"}


@pytest.mark.parametrize("told", [{}, "words", [["Hello", 0.0]], [{"speaker": "A", "word": "a", "start": 0.0}]])
def test_words_for_j_moshi_that_are_none(jmoshi, told):
    (jmoshi / "text/a.json").write_text(json.dumps(told))
    [finding] = check_folder(jmoshi)[0]
    assert (finding.kind, finding.file) == ("unreadable-alignments", "text/a.json")
    assert finding.what == 'it is no list of {"speaker", "word", "start", "end"}'


def test_hours_and_words_are_those_of_each_role_and_speaker(csm, jmoshi):
    facts = check_folder(csm)[1]
    assert (facts["hours"], facts["hours_of_role"]) == (0.0025, {"0": 0.0013, "1": 0.0012})
    facts = check_folder(jmoshi)[1]
    assert (facts["hours"], facts["words_of_speaker"]) == (0.0033, {"A": 10, "B": 8})
