"""Pairs of files by roles, legs, devices and people, those that a person names, and when each file begins."""

import json
import re
import tempfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from audio_files import ROOT
from recordings import excerpt, run, save

from dailytalk_contiguous import tag_stages
from dailytalk_contiguous.core.errors import BadValue, DailytalkError
from dailytalk_contiguous.core.records.schema import Row
from dailytalk_contiguous.machine.audio import read_at
from dailytalk_contiguous.sources.folder import FolderConfig, folder_rows
from dailytalk_contiguous.sources.pairs import PATTERNS, pair_choice, pairs
from dailytalk_contiguous.sources.recordings import LeftOut
from dailytalk_contiguous.sources.transcribed import transcribed

LEFT = excerpt()[:, 0]
RIGHT = excerpt()[:, 1]
RATE = 16000
DAILY = "1700000000000-12345678-1234-1234-1234-12345678{}-cam-audio-{}"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAILYTALK_CACHE", str(tmp_path / "cache"))


def rows(folder: Path, left_out: LeftOut | None = None, **options: str) -> list[Row]:
    config = FolderConfig(inputs=(str(folder),), language="en", **options)  # type: ignore[arg-type]
    return list(folder_rows(config, left_out))


def two(folder: Path, left: str, right: str) -> Path:
    save(folder / left, LEFT)
    save(folder / right, RIGHT)
    return folder


def heard(row: Row) -> np.ndarray:
    return read_at(row["audio"], RATE)


def named(*names: str, words: str = "", seconds: float = 1.0) -> dict[str, list[str]]:
    """Which mono files of these names, in a folder `day`, are put together; `seconds`: of the last one."""
    with tempfile.TemporaryDirectory() as folder:
        files = {Path("day", f"{name}.wav"): Path(folder, f"{name}.wav") for name in names}
        for path in files.values():
            length = seconds if path.stem == names[-1] else 1.0
            soundfile.write(path, np.zeros(round(length * 8000)), 8000)
        matches = pairs(files, pair_choice(words))
    return {whole.stem: [path.stem for path in match.pair.files] for whole, match in matches.items()}


@pytest.mark.parametrize(
    ("left", "right", "whole"),
    [
        ("4711-agent", "4711-customer", "4711"),
        ("call.operator", "call.client", "call"),
        ("Rep 12", "Customer 12", "12"),
        ("20260101_caller", "20260101_callee", "20260101"),
        ("q-1509-in", "q-1509-out", "q-1509"),
        ("inbound_7", "outbound_7", "7"),
        ("call7_rx", "call7_tx", "call7"),
        ("meeting_mic_2", "meeting_system_2", "meeting_2"),
        ("near-end", "far-end", "end"),
        ("local", "remote", "day"),
        ("ep12.host", "ep12.guest", "ep12"),
        ("s1 doctor", "s1 patient", "s1"),
        ("interviewer_03", "interviewee_03", "03"),
        ("callL", "callR", "call"),
        ("left_call", "right_call", "call"),
        ("call_spk0", "call_spk1", "call_spk"),
        ("call_speaker1_final", "call_speaker2_final", "call_speaker_final"),
        ("call_channel_0", "call_channel_1", "call_channel"),
        ("ZOOM0004_Tr1", "ZOOM0004_Tr2", "ZOOM0004_Tr"),
        ("V00_S0001_I00000001_P0947", "V00_S0001_I00000001_P0948A", "V00_S0001_I00000001"),
        ("audioAnnaLee11234567890", "audioBenOrt21234567890", "audio1234567890"),
        ("1-anna", "2-ben_5", "day"),
        ("anna_riverside_audio", "ben_riverside_audio", "day"),
        (DAILY.format("aaaa", 17), DAILY.format("bbbb", 18), "1700000000000-cam-audio"),
    ],
)
def test_names_of_recorders_are_pairs(left: str, right: str, whole: str) -> None:
    assert named(right, left) == {whole: [left, right]}


def test_examples_of_the_table_in_the_documentation_are_pairs() -> None:
    page = (ROOT / "docs/inputs.md").read_text(encoding="utf-8")
    _, _, table = page.partition("| what differs | left and right | for example |\n|---|---|---|\n")
    rows, _, _ = table.partition("\n\n")
    assert len(rows.splitlines()) == len(PATTERNS) + 1  # that of roles has two rows
    for row in rows.splitlines():
        left, right = re.findall("`(.*?)`", row.rpartition(" | ")[2])
        assert [*named(right, left).values()] == [[left, right]], row


@pytest.mark.parametrize(
    "names",
    [
        ("call_spk0", "call_spk1", "call_spk2"),
        ("4711-agent", "4711-customer", "4711-caller"),
        ("agent_in", "agent_out", "customer_in", "customer_out"),
        ("P0947", "P0948"),
        ("4711", "4712"),
        ("call_speaker2", "call_speaker5"),
        ("4711-agent", "4712-customer"),
        ("4711-agent", "4711-operator"),
        ("1-anna", "2-ben", "3-cleo"),
        ("audioAnnaLee11234567890", "audioBenOrt29999999999"),
        ("training", "rxtraining"),
        ("4711-agent", "4711-customer", "4711"),
    ],
)
def test_names_that_may_mean_something_else_are_not(names: tuple[str, ...]) -> None:
    assert named(*names) == {}


def test_a_role_outranks_a_number_and_people_are_a_pair_only_if_they_are_of_one_length() -> None:
    assert named("call_agent_1", "call_agent_2", "call_customer_1", "call_customer_2") == {
        "call_1": ["call_agent_1", "call_customer_1"],
        "call_2": ["call_agent_2", "call_customer_2"],
    }
    assert named("1-anna", "2-ben", seconds=3.0) == {}


def test_what_shares_no_name_has_that_of_its_folder_or_both_names(tmp_path: Path) -> None:
    (row,) = rows(two(tmp_path / "in", "1-anna.wav", "2-ben.wav"))
    assert row["conversation_id"] == "1-anna+2-ben"
    (row,) = rows(two(tmp_path / "days/monday", "local.wav", "remote.wav").parent)
    assert row["conversation_id"] == "monday/monday"


def test_words_of_a_person_name_pairs_that_our_table_does_not() -> None:
    assert named("x-anna", "x-ben") == {}
    assert named("x-ben", "x-anna", words="anna,ben") == {"x": ["x-anna", "x-ben"]}
    assert named("Ben", "Anna", words="Ben,anna") == {"day": ["Ben", "Anna"]}
    with pytest.raises(DailytalkError, match="--pairs fits no file: no name ends in 'one' or 'other'"):
        named("x-anna", "x-ben", words="one,other")


@pytest.mark.parametrize("text", ["anna", "anna,", "anna,anna", "a,b,c"])
def test_words_that_are_not_two_are_refused(text: str) -> None:
    with pytest.raises(BadValue, match="name two words or endings"):
        pair_choice(text)


def test_a_guess_is_told_and_the_left_side_can_be_chosen(tmp_path: Path) -> None:
    folder = two(tmp_path / "in", "4711-agent.wav", "4711-customer.wav")
    left_out = LeftOut()
    (row,) = rows(folder, left_out)
    assert left_out.guessed == ["4711 (4711-agent.wav left, 4711-customer.wav right)"]
    assert (heard(row) == np.stack([LEFT, RIGHT], axis=1)).all()
    for word in ("customer", "client"):  # the other side of an agent, whatever it is called
        (swapped,) = rows(folder, left=word)
        assert (heard(swapped) == np.stack([RIGHT, LEFT], axis=1)).all()
        assert swapped["input_digest"] != row["input_digest"]
    (same,) = rows(folder, left="agent")
    assert same["input_digest"] == row["input_digest"]
    with pytest.raises(DailytalkError, match="--left host: no pair of files has a side of that name"):
        rows(folder, left="host")


def test_pair_by_roles_is_spoken_again_where_the_cache_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = two(tmp_path / "in/day", "agent_7.wav", "customer_7.wav").parent
    out = tmp_path / "out"
    run(source, out, tag_stages(profile="embedded", language="en", asr_model="none"))
    monkeypatch.setenv("DAILYTALK_CACHE", str(tmp_path / "another"))
    (row,) = transcribed(out / "transcript.jsonl", None, source, [])
    assert row["conversation_id"] == "day/7"
    assert row["channels"] == 2


# When the files begin


def starts(row: Row) -> list[float]:
    """Seconds of nothing before the first sample of each channel."""
    return [round(int(np.flatnonzero(channel)[0]) / RATE, 2) for channel in heard(row).T]


def table(folder: Path, *lines: str) -> str:
    path = folder.parent / "pairs.csv"
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def loud(folder: Path, left: str, right: str) -> Path:
    """Two files of another length that begin with a sound."""
    save(folder / left, np.full(3 * RATE, 0.25, np.float32))
    save(folder / right, np.full(2 * RATE, 0.25, np.float32))
    return folder


def test_table_names_pairs_and_when_they_begin(tmp_path: Path) -> None:
    folder = loud(tmp_path / "in", "anna.wav", "ben.wav")
    path = table(folder, "left,right,left_start,right_start", "anna.wav,ben.wav,10,11.5")
    (row,) = rows(folder, pairs=path)
    assert starts(row) == [0.0, 1.5]
    assert row["duration"] == pytest.approx(3.5)
    (row,) = rows(folder, pairs=table(folder, "left,right,offset", "ben,anna,-0.5"))
    assert starts(row) == [0.5, 0.0]
    (row,) = rows(folder, pairs=table(folder, "left,right,offset", "anna.wav,ben.wav,3.2"))
    assert "begin 3.2 s apart, so that one begins after the other has ended" in row["problem"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("anna.wav,anna.wav,0", "names no two files"),
        ("anna.wav,,0", "names no two files"),
        ("anna.wav,ben.wav,nan", "a start of nan s can't be one"),
        ("anna.wav,ben.wav,1e99", "can't be one"),
        ("anna.wav,ben.wav,soon", "could not convert"),
        ("cleo.wav,ben.wav,0", "names 'cleo.wav', which is no recording of this input"),
    ],
)
def test_table_that_can_not_be_meant_is_an_error(tmp_path: Path, line: str, reason: str) -> None:
    folder = loud(tmp_path / "in", "anna.wav", "ben.wav")
    with pytest.raises(DailytalkError, match=reason):
        rows(folder, pairs=table(folder, "left,right,offset", line))


def vtt(ticks: int, local: str = "00:00:00.000") -> str:
    cue = "00:00.500 --> 00:01.000\nhello there\n"
    return f"WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:{ticks},LOCAL:{local}\n\n{cue}"


def test_subtitles_of_each_side_lay_both_files_and_their_words_on_one_clock(tmp_path: Path) -> None:
    folder = loud(tmp_path / "in", "call-agent.wav", "call-customer.wav")
    (folder / "call-agent.vtt").write_text(vtt(900_000))
    (folder / "call-customer.vtt").write_text(vtt(1_170_000, "00:00:01.000"))
    (row,) = rows(folder)
    assert starts(row) == [0.0, 2.0]
    assert [(cue["channel"], cue["start"]) for cue in row["cues"]] == [("left", 0.5), ("right", 2.5)]


@pytest.mark.parametrize(
    "documents",
    [
        {
            "RT1-agent.json": {"sid": "RT1", "offset": 40_250},
            "RT1-customer.json": {"sid": "RT2", "offset": 41_750},
        },
        {"RT1-agent.json": {"start_ts": 1.25e9}, "RT1-customer.json": {"start_ts": 1.25e9 + 1.5}},
        {
            "raw-tracks-manifest-17.json": {
                "participants": [
                    {"tracks": [{"file": "RT1-agent.wav", "startOffsetSecs": 0.2}]},
                    {"tracks": [{"file": "RT1-customer.wav", "startOffsetSecs": 1.7}]},
                ]
            }
        },
    ],
)
def test_services_say_when_tracks_begin(tmp_path: Path, documents: dict[str, object]) -> None:
    folder = loud(tmp_path / "in", "RT1-agent.wav", "RT1-customer.wav")
    for name, document in documents.items():
        (folder / name).write_text(json.dumps(document))
    (row,) = list(folder_rows(FolderConfig(inputs=(str(folder),), language="en", given=False)))
    assert starts(row) == [0.0, 1.5]


def test_daily_has_the_start_in_the_names(tmp_path: Path) -> None:
    first = DAILY.format("aaaa", 1700000000500)
    second = DAILY.format("bbbb", 1700000002000)
    (row,) = rows(loud(tmp_path / "in", f"{first}.wav", f"{second}.wav"))
    assert starts(row) == [0.0, 1.5]
    assert row["conversation_id"] == "1700000000000-cam-audio"


def test_files_of_unlike_length_without_a_clock_are_rejected(tmp_path: Path) -> None:
    folder = two(tmp_path / "in", "call-agent.wav", "call-customer.wav")
    save(folder / "call-customer.wav", RIGHT[: 4 * RATE])
    (row,) = rows(folder)
    assert "last 6.0 and 4.0 s" in row["problem"]
    assert "--pairs TABLE.csv" in row["remedy"]


# What would help a file without its other side


def remedies(folder: Path) -> dict[str, str]:
    return {row["audio_file"]: row["remedy"] for row in rows(folder) if row["problem"]}


def test_remedy_names_what_this_file_lacks(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    save(folder / "a/4711-agent.wav", LEFT)
    save(folder / "b/alone.wav", LEFT)
    two(folder / "c", "anna.wav", "ben.wav")
    told = remedies(folder)
    assert told["a/4711-agent.wav"].startswith("put its other side beside it, such as '4711-customer.wav'")
    assert "if it is one side of a call, put the other side beside it" in told["b/alone.wav"]
    assert told["c/anna.wav"] == "pass --pairs 'anna,ben' if these two files are the sides of one call"
    assert not any("diariser" in remedy for remedy in told.values())
    assert len(told) == 4


@pytest.mark.parametrize("word", ["take", "part", "monday session", "Episode"])
def test_what_is_numbered_in_turn_is_no_pair(word: str) -> None:
    assert named(f"{word}_1", f"{word}_2") == {}
    assert named(f"{word}-1", f"{word}-2") == {}


def test_a_letter_that_has_no_small_form_of_its_own_moves_no_word() -> None:
    assert named("İx-rep", "İx-kunde", words="rep,kunde") == {"İx": ["İx-rep", "İx-kunde"]}
    assert named("x-gruß", "x-kunde", words="gruß,kunde") == {"x": ["x-gruß", "x-kunde"]}
