"""Corpora of talk as they come, read from their own folders; where lhotse has a recipe, it reads the same."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import soundfile
from audio_files import example, reference, tones
from lhotse.recipes.fisher_english import create_supervision
from lhotse.recipes.switchboard import make_segments

from dailytalk_contiguous.core.records.conversation import Conversation
from dailytalk_contiguous.core.records.seen import seen_result
from dailytalk_contiguous.core.records.utterance import Utterance
from dailytalk_contiguous.publish.exports.annotation_formats import audacity
from dailytalk_contiguous.publish.exports.annotations import annotation_of
from dailytalk_contiguous.sources.folder import FolderConfig, folder_rows
from dailytalk_contiguous.sources.recordings import LeftOut

#: What a transcript gives: side, start, end, text.
Spoken = tuple[str, float, float, str]

LETTERS = {"left": "A", "right": "B"}


def save(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def recording(path: Path, seconds: float = 12.0) -> Path:
    """A recording of two channels, of the kind that its ending says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = {"format": "NIST", "subtype": "ULAW"} if path.suffix == ".sph" else {}
    soundfile.write(path, tones(seconds, 8000), 8000, **kind)
    return path


def read(root: Path, left_out: LeftOut | None = None, **settings: Any) -> list[dict[str, Any]]:
    config = FolderConfig(inputs=(str(root),), language="en", **settings)
    return list(folder_rows(config, left_out))


def row_of(root: Path, **settings: Any) -> dict[str, Any]:
    (row,) = read(root, **settings)
    return row


def spoken(row: Mapping[str, Any]) -> list[Spoken]:
    """The cues with words of a row, by start."""
    assert row["problem"] is None, row["problem"]
    cues = [cue for cue in row["cues"] if cue["text"]]
    return [(cue["channel"], cue["start"], cue["end"], cue["text"]) for cue in cues]


def words(row: Mapping[str, Any]) -> list[Spoken]:
    assert row["problem"] is None, row["problem"]
    timed = []
    for cue in row["cues"]:
        timed += [(cue["channel"], word["start"], word["end"], word["word"]) for word in cue["words"]]
    return sorted(timed, key=lambda word: word[1])


def marks(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(cue["channel"], cue["mark"]) for cue in row["cues"] if cue["mark"]]


# Fisher

FISHER = """# fe_03_00001.sph
# Transcribed at the LDC

0.75 2.21 A: hello [laughter]

1.90 3.40 B: hi i am ((from a._b._c.))

4.00 5.10 A: (( ))

6.00 7.25 B: th- that is
"""


def test_fisher_is_read_as_the_ldc_ships_it_and_as_lhotse_reads_it(tmp_path: Path) -> None:
    audio = recording(tmp_path / "fisher_eng_tr_sp_d1/audio/000/fe_03_00001.sph")
    text = "fe_03_p1_tran/data/trans/000/fe_03_00001.txt"
    save(tmp_path, {text: FISHER})
    row = row_of(tmp_path)
    assert (row["channels"], row["sample_rate"], row["duration"]) == (2, 8000, 12.0)
    assert row["audio"]["path"] == str(audio)
    assert spoken(row) == [
        ("left", 0.75, 2.21, "hello"),
        ("right", 1.9, 3.4, "hi i am from a. b. c."),
        ("right", 6.0, 7.25, "th- that is"),
    ]
    assert marks(row) == [("left", "laughter"), ("left", "unclear")]
    assert {cue["speaker"] for cue in row["cues"]} == {None}
    theirs = create_supervision(({"00001": {"A": "1", "B": "2"}}, tmp_path / text))
    spans = {(segment.channel, segment.start, round(segment.end, 3)) for segment in theirs}
    assert {("left", "right").index(channel) for channel, *_ in spoken(row)} == {0, 1}
    assert {(("left", "right").index(line[0]), *line[1:3]) for line in spoken(row)} < spans
    assert len(spans) == 4  # one of them has no word


def test_fisher_is_found_in_another_folder_that_is_named(tmp_path: Path) -> None:
    recording(tmp_path / "audio/000/fe_03_00001.sph")
    texts = save(tmp_path / "texts", {"data/trans/000/fe_03_00001.txt": FISHER})
    row = row_of(tmp_path / "audio", transcripts=str(texts))
    assert row["transcripts"] == ["fe_03_00001.txt"]
    assert len(spoken(row)) == 3


def test_a_call_with_two_texts_of_its_name_has_neither(tmp_path: Path) -> None:
    recording(tmp_path / "audio/fe_03_00001.sph")
    save(tmp_path, {"a/fe_03_00001.txt": FISHER, "b/fe_03_00001.txt": FISHER})
    assert row_of(tmp_path)["cues"] == []


PROSE = "Anna called at 5:05.\nShe said that the train was late, and hung up.\n"


def test_a_text_of_any_other_kind_is_not_used_and_is_listed(tmp_path: Path) -> None:
    recording(tmp_path / "call.wav")
    save(tmp_path, {"call.txt": PROSE})
    left_out = LeftOut()
    (row,) = read(tmp_path, left_out)
    assert row["problem"] is None
    assert row["cues"] == []
    assert left_out.unread == {"of no format of transcripts": ["call.txt"]}


def test_transcripts_of_a_rejected_recording_are_listed_as_such(tmp_path: Path) -> None:
    recording(tmp_path / "good.wav")
    (tmp_path / "call.wav").touch()
    for name in ("mono.left.wav", "sides/a.left.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        soundfile.write(tmp_path / name, tones(1.0, 8000, 1), 8000)
    line = "1\n00:00:01,000 --> 00:00:02,000\nhi\n"
    names = ("call.srt", "call.wav.vtt", "call.left.srt", "mono.left.srt", "sides/a.left.srt", "good.extra.srt")
    save(tmp_path, dict.fromkeys(names, line))
    left_out = LeftOut()
    read(tmp_path, left_out)
    assert left_out.unread == {
        "its name is not that of the recording, or that and a side, such as NAME.left.srt": ["good.extra.srt"],
        "its recording was rejected": sorted({*names} - {"good.extra.srt"}),
    }


def test_marks_of_an_editor_of_sound_are_no_transcript(tmp_path: Path) -> None:
    recording(tmp_path / "call.wav")
    save(tmp_path, {"call.mrk": "Markers\n{\nMarker1\n}\n"})
    left_out = LeftOut()
    (row,) = read(tmp_path, left_out)
    assert row["problem"] is None
    assert left_out.unread == {"of no format of transcripts": ["call.mrk"]}


def test_a_damaged_text_is_a_reject_with_its_line(tmp_path: Path) -> None:
    recording(tmp_path / "call.wav")
    save(tmp_path, {"call.txt": FISHER[:-20]})
    row = row_of(tmp_path)
    assert "call.txt" in row["problem"]
    assert "line 10" in row["problem"]


# SPHERE


def test_a_compressed_sphere_file_is_rejected_with_the_tool_that_unpacks_it(tmp_path: Path) -> None:
    path = recording(tmp_path / "call.sph")
    data = path.read_bytes()
    coding = b"sample_coding -s4 ulaw\n"
    compressed = b"sample_coding -s27 ulaw,embedded-shorten-v2.00\n"
    head = data[:1024].replace(coding, compressed)[:1024]
    path.write_bytes(head + data[1024:])
    row = row_of(tmp_path)
    assert "shorten" in row["problem"]
    assert "sph2pipe -f wav" in row["remedy"]


def test_a_sphere_file_that_was_cut_short_is_rejected(tmp_path: Path) -> None:
    path = recording(tmp_path / "call.sph")
    path.write_bytes(path.read_bytes()[:50000])
    assert "cut short" in row_of(tmp_path)["problem"]


# Switchboard


def switchboard_lines(side: str) -> str:
    """The words of a side of a bundled conversation as the Mississippi State transcripts have them."""
    lines = []
    for number, line in enumerate(reference("old_friends"), 1):
        if line["channel"] != side:
            continue
        for word in line["words"]:
            utterance = f"sw2001{LETTERS[side]}-ms98-a-{number:04d}"
            lines.append(f"{utterance} {word['start']:.6f} {word['end']:.6f} {word['word'].lower()}\n")
    return "".join(lines)


def test_switchboard_has_the_words_that_lhotse_reads(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "sw02001.flac", example("old_friends"), 16000)
    folder = "swb_ms98_transcriptions/20/2001"
    names = {side: f"{folder}/sw2001{letter}-ms98-a-word.text" for side, letter in LETTERS.items()}
    save(tmp_path, {name: switchboard_lines(side) for side, name in names.items()})
    read_words = words(row_of(tmp_path))
    for channel, (side, name) in enumerate(names.items()):
        call = type("Recording", (), {"id": "sw02001"})()
        segments = make_segments(tmp_path / name, call, channel)
        theirs = [(round(segment.start, 6), segment.text) for segment in segments]
        assert [(round(start, 6), word) for spoken_by, start, _, word in read_words if spoken_by == side] == theirs


def test_signs_of_switchboard_are_no_words(tmp_path: Path) -> None:
    recording(tmp_path / "sw2001.wav")
    tokens = "[silence] [laughter-yeah] [vocalized-noise] sim[ilar]- [youn/your] about_1 <b_aside> {alrighty}"
    lines = []
    for number, token in enumerate(tokens.split()):
        lines.append(f"sw2001A-ms98-a-0001 {number}.0 {number + 1}.0 {token}\n")
    save(tmp_path, {"sw2001A-ms98-a-word.text": "".join(lines)})
    row = row_of(tmp_path)
    assert [word for *_, word in words(row)] == ["yeah", "sim-", "your", "about", "alrighty"]
    assert marks(row) == [("left", "vocalized noise")]


def test_of_the_transcripts_of_a_call_the_one_with_words_is_read_and_the_others_are_listed(tmp_path: Path) -> None:
    recording(tmp_path / "sw2001.wav")
    save(
        tmp_path,
        {
            "sw2001A-ms98-a-word.text": "sw2001A-ms98-a-0001 1.0 1.5 hello\n",
            "sw2001A-ms98-a-trans.text": "sw2001A-ms98-a-0001 0.5 2.0 hello\n",
            "sw2001.mrk": "A.1 1.00 0.50 Hello.\n",
        },
    )
    left_out = LeftOut()
    (row,) = read(tmp_path, left_out)
    assert words(row) == [("left", 1.0, 1.5, "hello")]
    listed = {"another transcript of the call has more": ["sw2001.mrk", "sw2001A-ms98-a-trans.text"]}
    assert left_out.unread == listed


MRK = """FILENAME:       2001
TOPIC#:         310
==========================

*       *     *    [beep]
@A.1    1.00  0.30 Okay,
@A.1    1.30  0.40 I
A.1     *     *    {pause}
A.1     *     *    #you
A.1     *     *    know#
A.1     *     *    --
B.2     2.40  0.20 #Your
B.2     2.60  0.60 education.#
A.3     *     *    Yes.
"""


def test_words_without_times_of_a_mrk_are_not_lost(tmp_path: Path) -> None:
    recording(tmp_path / "sw02001.wav")
    save(tmp_path, {"sw2001.mrk": MRK})
    row = row_of(tmp_path)
    assert [(side, text) for side, _, _, text in spoken(row)] == [
        ("left", "Okay, I you know"),
        ("right", "Your education."),
        ("left", "Yes."),
    ]
    assert [word[1:] for word in words(row) if word[0] == "right"] == [
        (2.4, 2.6, "Your"),
        (2.6, 3.2, "education."),
    ]


# STM


def test_an_stm_of_a_test_set_has_the_lines_of_its_recordings(tmp_path: Path) -> None:
    for name in ("en_4156", "en_4170"):
        recording(tmp_path / f"{name}.wav")
    stm = """;; LABEL "O" "Overall"
en_4156 A en_4156_A 1.00 2.00 <O,en,F> { i'm / i am } going (to) (%HESITATION)
en_4156 B en_4156_B 2.50 3.00 <O,en,M> IGNORE_TIME_SEGMENT_IN_SCORING
en_4170 B en_4170_B 1.00 2.00 <O,en,F,en-F> yes
en_4170 B en_4170_B 3.00 4.00 <laugh> so
en_4170 A inter_segment_gap 2.00 3.00 <O,en,M>
"""
    save(tmp_path, {"hub5.stm": stm})
    first, second = read(tmp_path)
    assert spoken(first) == [("left", 1.0, 2.0, "i'm going to")]
    assert [line for line in spoken(second) if line[3]] == [("right", 1.0, 2.0, "yes"), ("right", 3.0, 4.0, "so")]


# CANDOR

USERS = {"L": "5adc1f", "R": "60be22"}

CANDOR = """turn_id,speaker,start,stop,utterance,n_words
0,60be22,0.5,2.0,"Hi, how are you?",4
1,5adc1f,2.25,3.5,Good.,1
"""


def test_candor_is_read_in_the_folders_that_it_has(tmp_path: Path) -> None:
    conversation = tmp_path / "0020a0c5"
    recording(conversation / "processed/0020a0c5.flac")
    save(
        conversation,
        {
            "processed/channel_map.json": json.dumps(USERS),
            "transcription/transcript_audiophile.csv": CANDOR,
            "transcription/transcript_cliffhanger.csv": CANDOR.replace("Good.", "Good!"),
        },
    )
    left_out = LeftOut()
    (row,) = read(tmp_path, left_out)
    assert spoken(row) == [("right", 0.5, 2.0, "Hi, how are you?"), ("left", 2.25, 3.5, "Good.")]
    assert [cue["speaker"] for cue in row["cues"]] == ["60be22", "5adc1f"]
    (listed,) = left_out.unread.values()
    assert listed == ["0020a0c5/transcription/transcript_cliffhanger.csv"]


def test_backchannels_that_backbiter_has_apart_are_read(tmp_path: Path) -> None:
    recording(tmp_path / "call.flac")
    head = "turn_id,speaker,start,stop,utterance"
    head += ",backchannel,backchannel_speaker,backchannel_start,backchannel_stop"
    line = "0,60be22,0.5,4.0,I went home and,yeah,5adc1f,2.0,2.4"
    files = {"transcript_backbiter.csv": f"{head}\n{line}\n", "channel_map.json": json.dumps(USERS)}
    save(tmp_path, files)
    assert spoken(row_of(tmp_path)) == [("right", 0.5, 4.0, "I went home and"), ("left", 2.0, 2.4, "yeah")]


# Programs


def test_our_labels_of_audacity_are_read_back_without_their_tags(tmp_path: Path) -> None:
    recording(tmp_path / "call.wav")
    utterances = [
        Utterance(channel="left", speaker="Anna", new_start=0.5, new_end=2.0, text="So <you> came.", tag="sad"),
        Utterance(channel="right", speaker="Bob", new_start=2.5, new_end=4.0, text="Yes & no (really).", tag=""),
    ]
    talk = Conversation(utterances=utterances, alignments=[], sounds=[], built_duration=5.0, transcript_marks=[])
    seen = seen_result(talk, 24000, "left")
    save(tmp_path, {"call.txt": audacity(annotation_of("call", seen))})
    row = row_of(tmp_path)
    lines = [(cue["start"], cue["end"], cue["text"], cue["speaker"]) for cue in row["cues"]]
    assert lines == [(0.5, 2.0, "So <you> came.", "Anna"), (2.5, 4.0, "Yes & no (really).", "Bob")]


def test_otter_has_a_turn_below_each_name(tmp_path: Path) -> None:
    recording(tmp_path / "call.wav")
    text = "Anna Lee  0:01  \nHello there.\nHow are you?\n\nSpeaker 2  0:04  \nFine.\n\nTranscribed by https://otter.ai\n"
    save(tmp_path, {"call.txt": text})
    row = row_of(tmp_path)
    lines = [(cue["start"], cue["end"], cue["text"], cue["speaker"]) for cue in row["cues"]]
    assert lines == [(1.0, 4.0, "Hello there. How are you?", "Anna Lee"), (4.0, 5.0, "Fine.", None)]
