import itertools
import json
import re
import shutil
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from audio_files import EXAMPLES, REAL_CALLS, example
from built_conversations import built_row, write_dataset
from command import EMBEDDED, Command
from huggingface_hub import hf_hub_download
from reports import tables_from, write_report
from rich_conversations import rich_row

from dailytalk_contiguous.core.records.finding import Finding
from dailytalk_contiguous.core.records.finished import from_finished
from dailytalk_contiguous.core.records.measures import CONVERSATION_MEASURES, measure_turns
from dailytalk_contiguous.core.records.run_record import RunRecord
from dailytalk_contiguous.core.records.tables import TableMaker
from dailytalk_contiguous.core.turns.turn_taking import Timed, TimedConversation, join_spans
from dailytalk_contiguous.publish.checking import check_folder
from dailytalk_contiguous.publish.checks.verdict import LIMITS, all_findings, judged_conversations, verdict_of
from dailytalk_contiguous.publish.exports.moshi_folder import MOSHI
from dailytalk_contiguous.publish.exports.writing import write_export
from dailytalk_contiguous.publish.opening import open_items
from dailytalk_contiguous.publish.tables.displays import Displays
from dailytalk_contiguous.publish.tables.templates import environment

pytest_plugins = ["hub.hub_fixtures"]


def findings_on(*conversations, limits=LIMITS):
    """The findings on conversations that are given as columns of their table."""
    maker = TableMaker()
    for number, columns in enumerate(conversations):
        name = f"c{number}" if number else "c"
        named = {"conversation_id": name, "kept_speakers": ["Ann"]}
        maker.add_known(named | columns)
    tables = maker.tables()
    return all_findings(tables, limits=limits)


def findings_of(kind, rows):
    """The findings of one kind on rows."""
    tables = tables_from(map(from_finished, rows))
    return [finding for finding in all_findings(tables) if finding.kind == kind]


def kinds_in(findings):
    return {finding.kind for finding in findings}


def severities_of(findings):
    return [finding.severity for finding in findings]


def advised(timed, seconds, hours=1.0, **columns):
    conversation = TimedConversation(timed, join_spans(timed), seconds)
    measured = measure_turns(conversation)
    measured["duration"] = hours * 3600
    findings = findings_on(measured | columns)
    return [finding.kind for finding in findings]


def alternating(number):
    """The side that speaks in a turn."""
    return ("left", "right")[number % 2]


LIVELY = [Timed(alternating(n), n * 2.0, n * 2.0 + 2.1) for n in range(50)]


def test_a_lively_conversation_needs_no_advice():
    assert advised(LIVELY, 100.0) == []


def test_transcripts_that_were_corrected_come_first_and_uncovered_sound_has_its_times():
    corrected = built_row("a", transcript_repair="not used")
    sound = {"channel": "left", "start": 1.0, "end": 5.5}
    uncovered = built_row("b", uncovered_sound=[sound])
    findings = all_findings(tables_from(map(from_finished, [corrected, uncovered])))
    verdict = verdict_of(findings, 2)
    assert "the transcripts of 1 of 2 conversations did not fit" in verdict.headline
    (finding,) = [finding for finding in verdict.findings if finding.kind == "uncovered-sound"]
    assert "1.0 to 5.5 s of the left side of b" in finding.problem


@pytest.mark.parametrize(("late", "kinds"), [(0.0, []), (3.0, ["sides-out-of-step"])])
def test_conversation_whose_sides_do_not_wait_for_each_other_is_doubtful(late, kinds):
    lengths = [2.0 + n * 7 % 5 * 0.8 for n in range(60)]  # turns of 2 to 5 s
    ends = np.cumsum(lengths).tolist()
    row = built_row("a")
    first = row["utterances"][0]
    utterances = []
    for n, (start, end) in enumerate(itertools.pairwise(ends)):
        side = alternating(n + 1)
        shift = 0.0 if side == "left" else late
        times = {"source_start": start + shift, "source_end": end - 0.2 + shift}
        utterances.append(first | times | {"source_channel": side})
    row["utterances"] = utterances
    findings = findings_of("sides-out-of-step", [row])
    assert [finding.kind for finding in findings] == kinds
    assert severities_of(findings) == ["doubtful"] * len(kinds)
    for finding in findings:
        assert "may not be in step, such as a: both speak at once" in finding.problem


def monologues(name: str, text: str, seconds: float, **columns: Any) -> dict[str, Any]:
    """A conversation in which each side says the same in lines of 5 s, for so many seconds in all."""
    starts = np.arange(0, seconds, 5)
    lines = [(side, start, start + 5, text) for side in ("left", "right") for start in starts]
    return built_row(name, lines, 1.0, **columns)


@pytest.mark.parametrize(
    ("text", "seconds", "columns", "is_noted"),
    [
        ("So I went there and it was closed.", 185.0, {}, True),
        ("So I went there and it was closed.", 175.0, {}, False),
        ("So I went there and, um, it was closed.", 185.0, {}, False),
        ("Mm-hm, uh-huh.", 185.0, {}, True),
        ("Also bin ich hingegangen.", 185.0, {"language": "de"}, True),
        ("Menin sinne ja se oli kiinni.", 185.0, {"language": "fi"}, False),
        ("", 185.0, {}, False),
        (
            "So I went there and it was closed.",
            185.0,
            {"timeline": None, "provenance": '{"voice": "anna"}'},
            False,
        ),
    ],
)
def test_minutes_of_talk_without_a_filler_are_noted(text, seconds, columns, is_noted):
    row = monologues("call", text, seconds, **columns)
    noted = findings_of("no-fillers", [row])
    assert severities_of(noted) == ["note"] * is_noted
    for finding in noted:
        assert "no um or uh in 2 sides with over 3.0 min of talk" in finding.problem
        assert "the left one of call" in finding.problem


LETTERS = str.maketrans("0123456789", "abcdefghij")


def given_row(name: str, sources: list[str], recogniser: str = "given") -> dict[str, Any]:
    """A conversation whose left side says a word from each source: "wa", "wb" … "wjj"."""
    words = [f"w{number}".translate(LETTERS) for number in range(len(sources))]
    return row_of_words(name, words, sources, recogniser)


def row_of_words(name: str, words: list[str], sources: list[str], recogniser: str = "given") -> dict[str, Any]:
    text = " ".join(words)
    spoken = ("left", 0.0, 100.0, text)
    answer = ("right", 101.0, 102.0, "hello")
    row = built_row(name, [spoken, answer], 103.0)
    for utterance in row["utterances"]:
        utterance["models"] = {"recogniser": recogniser, "affect": None}
    every_source = [*sources, "given-fitted"]
    for word, source in zip(row["alignments"], every_source, strict=True):
        word["source"] = source
    return row


ALIGNED = "aligned-pocketsphinx"


@pytest.mark.parametrize(
    ("sources", "recogniser", "is_noted"),
    [
        ([ALIGNED] * 97 + ["recognised-text", "given-fitted", "given-fitted"], "given", True),
        ([ALIGNED] * 97 + ["recognised-text", "given-fitted", "given-fitted"], "whisper base", False),
        ([ALIGNED] * 98 + ["recognised-text"] * 2, "given", False),  # too few
        ([ALIGNED] * 200 + ["recognised-text"] * 6, "given", False),  # too small a share
        (["given-fitted"] * 100, "given", False),  # no aligner placed any
    ],
)
def test_words_of_a_given_text_that_an_aligner_did_not_find_are_noted(sources, recogniser, is_noted):
    call = given_row("call", sources, recogniser)
    fine = given_row("fine", [ALIGNED] * 10, recogniser)
    noted = findings_of("absent-words", [call, fine])
    assert severities_of(noted) == ["note"] * is_noted
    for finding in noted:
        assert "3 of 100 given words of the left side of call are not in its sound" in finding.problem
        assert "wjh wji wjj" in finding.problem


@pytest.mark.parametrize(
    ("n_absent", "severity"), [(2, "note"), (3, "doubtful"), (7, "doubtful"), (8, "bad"), (20, "bad")]
)
def test_share_of_lines_that_are_not_in_the_sound_is_weighed(n_absent, severity):
    said = [("left", 2.0 * n, 2.0 * n + 1, "so it goes") for n in range(20)]
    row = built_row("call", [*said, ("right", 41.0, 42.0, "hello there")], 43.0)
    for utterance in row["utterances"]:
        utterance["models"] = {"recogniser": "given", "affect": None}
    for word in row["alignments"]:
        is_absent = word["start"] < 2.0 * n_absent
        word["source"] = "given-fitted" if is_absent else ALIGNED
    row["alignments"][-3]["source"] = ALIGNED  # an aligner was at work
    (finding,) = findings_of("absent-words", [row])
    assert finding.severity == severity
    assert ("tag with --recognise-absent" in finding.remedy) == (severity != "note")


def test_numbers_and_codes_that_an_aligner_can_not_read_are_not_said_to_be_absent():
    fitted = ["EM3985771,", "$1,299.50", "42.5%", "www.example.org/help"]
    words = ["number"] * 60 + fitted
    sources = [ALIGNED] * 60 + ["given-fitted"] * len(fitted)
    call = row_of_words("call", words, sources)
    fine = given_row("fine", [ALIGNED] * 10)
    assert findings_of("absent-words", [call, fine]) == []


def test_limits_of_the_notes_on_transcripts_can_be_set(tmp_path, dailytalk):
    call = given_row("call", [ALIGNED] * 90 + ["given-fitted"] * 10)
    quiet = monologues("quiet", "So it goes.", 20.0)
    work = write_dataset(tmp_path / "work", [call, quiet])

    def noted(*options):
        done = dailytalk("check", work, "--json", *options)
        findings = json.loads(done.out)["findings"]
        kinds = {finding["kind"] for finding in findings}
        return kinds & {"absent-words", "no-fillers"}

    assert noted() == {"absent-words"}
    assert noted("--limit", "absent-words=0.2", "--limit", "no-fillers=10") == {"no-fillers"}


def test_measures_of_turns_are_those_that_turns_give():
    measured = measure_turns(TimedConversation(LIVELY, join_spans(LIVELY), 100.0))
    assert {name for name, measure in CONVERSATION_MEASURES.items() if measure.of_turns} == measured.keys()


#: A conversation within all limits, as far as it is measured.
FINE = dict.fromkeys(CONVERSATION_MEASURES) | {
    "duration": 60.0,
    "response": 0.2,
    "overlapping_turns": 0.4,
    "longest_turn": 1.0,
    "turns_per_window": 10.0,
    "longest_monologue": 1.0,
    "first_turn": 0.0,
    "longest_silence": 1.0,
}


def found(**measured):
    return findings_on(FINE | measured, FINE)


def turns_apart():
    """The utterances of a conversation, one after the other with 0.5 s between them."""
    utterances = talk()["utterances"]
    for n, turn in enumerate(utterances):
        turn["start"] = 1.5 * n + 0.2
        turn["end"] = 1.5 * n + 1.2
    return utterances


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        ("a", "0 % of the turns touch an overlap (natural talk: over 40 %)"),
        ("ab", "by the median of 2 conversations 0 % of the turns touch an overlap (natural talk: over 40 %)"),
    ],
)
def test_turns_that_never_overlap_are_told_in_rows_and_in_their_export(tmp_path, names, problem):
    rows = [talk(name, utterances=turns_apart()) for name in names]
    work = write_dataset(tmp_path / "work", rows)
    write_export(open_items(work).rows(), tmp_path / "data", MOSHI)
    for folder in (work, tmp_path / "data"):
        findings, _ = check_folder(folder)
        [finding] = [finding for finding in findings if finding.kind == "little-overlap"]
        assert finding.problem == problem
        assert finding.severity == "doubtful"
        assert "--timeline anchor" in finding.remedy


def test_worst_of_equals_does_not_depend_on_the_order_of_rows():
    noisy = FINE | {"snr": 3.0}
    first = noisy | {"conversation_id": "a"}
    second = noisy | {"conversation_id": "b"}
    for conversations in ((first, second), (second, first)):
        files = {finding.file for finding in findings_on(*conversations)}
        assert files == {"a"}


@pytest.mark.parametrize(
    ("measured", "below", "kind", "file"),
    [
        ({"longest_turn": 10.0}, 0.01, "long-turns", "c"),
        ({"longest_monologue": 60.0}, 0.01, "monologue", "c"),
        ({"first_turn": 5.0}, 0.01, "late-start", "c"),
        ({"longest_silence": 60.0}, 0.01, "long-silence", "c"),
        ({"turns_per_window": 3.0}, -0.01, "few-turns", "c"),
        ({"response": 3.8}, 0.01, "slow-responses", "."),
        ({"overlapping_turns": -0.2}, -0.01, "little-overlap", "."),
    ],
)
def test_figure_at_its_limit_is_fit_and_one_beyond_it_is_advised_on(measured, below, kind, file):
    """Of the last two the median counts, half-way to the conversation that is fine."""
    assert found(**measured) == []
    beyond = {name: value + below for name, value in measured.items()}
    [finding] = found(**beyond)
    assert finding.kind == kind
    assert finding.level == "advice"
    assert finding.file == file


#: A side of good sound; what is not known of a side is null.
SIDE = {"speech_seconds": 3.0, "level_dbfs": -20.0, "snr_db": 40.0, "bandwidth_hz": 8000.0, "clipping_ratio": 0.0}
SIDE |= {"leak_db": None, "silent_end": 0.0, "unheard_words": 0}


def sides(**right):
    left = {"channel": "left", **SIDE}
    return [left, {"channel": "right", **SIDE, **right}]


def talk(name="a", **columns):
    """A conversation of 6 s that nothing speaks against: a Whisper heard it and is sure."""
    row = built_row(name, kept_speaker="Ben")
    for utterance in row["utterances"]:
        utterance["confidence"] = 0.9
        utterance["models"] = {"recogniser": "medium", "affect": None}
        utterance["source_start"] = utterance["start"]
        utterance["source_end"] = utterance["end"]
    return row | {"sides": sides(), "language": None} | columns


def changed(**changes):
    return [utterance | changes for utterance in talk()["utterances"]]


def shortened(ratio):
    """The utterances of a conversation whose recording was longer than they are."""
    utterances = changed()
    for utterance in utterances:
        start = utterance["start"]
        utterance["source_end"] = start + (utterance["end"] - start) / ratio
    return utterances


def telephone(name, **columns):
    return talk(name, sides=sides(bandwidth_hz=3600.0), **columns)


def test_telephone_data_is_said_to_be_good_with_the_limit_that_the_finding_names(
    tmp_path: Path, dailytalk: Command
) -> None:
    work = write_dataset(tmp_path / "work", [telephone("a"), telephone("b")])
    judged = dailytalk("check", work)
    verdict, reason, *_ = judged.out.splitlines()
    assert verdict.startswith("doubtful: ")
    assert reason.startswith("doubtful: 2 of 2 conversations have a side that ends below 6.5 kHz")
    option = re.search(r"--limit (\S+)", judged.out)
    assert option is not None
    lenient = dailytalk("check", work, "--limit", option[1])
    assert lenient.out.startswith("good: ")


def later(seconds):
    utterances = changed()
    for utterance in utterances:
        utterance["start"] += seconds
        utterance["end"] += seconds
    return utterances


ALONE = [utterance for utterance in changed() if utterance["channel"] == "left"]
LATE = later(6)
LOST = {"conversations": 1, "of_conversations": 2, "seconds": 119.8, "of_seconds": 202.7}

#: What is planted, the kind that finds it, what it says of the data, and a part of the sentence.
PLANTED = [
    ({"utterances": changed(confidence=0.5)}, "low-confidence", "bad", "less than 0.6 sure, down to 0.50 in a"),
    ({"sides": sides(unheard_words=2)}, "unheard-words", "bad", "over 5 % of the words where nothing is heard"),
    ({"sides": sides(bandwidth_hz=3600.0)}, "telephone", "doubtful", "ends below 6.5 kHz, as a telephone does"),
    (
        {"sides": sides(level_dbfs=-32.5)},
        "level-difference",
        "doubtful",
        "10 dB softer than the other, up to 12.5 dB in a, the right one",
    ),
    (
        {"sides": sides(snr_db=9.0)},
        "noise",
        "doubtful",
        "less than 10 dB between speech and noise, down to 9 dB in a",
    ),
    ({"sides": sides(clipping_ratio=0.0125)}, "clipping", "doubtful", "over 0.5 % is clipped, up to 1.25 % in a"),
    ({"sides": sides(silent_end=42.0)}, "dead-side", "doubtful", "falls silent over 10 s before the other one"),
    ({"sides": sides(leak_db=-4.0)}, "leakage", "doubtful", "heard above -6 dB, up to -4 dB in a"),
    ({"utterances": changed(text="a " * 20, text_raw="a " * 20)}, "fast-words", "doubtful", "more than 7 words/s"),
    ({"utterances": changed(text="", text_raw="")}, "without-text", "doubtful", "no text for over 20 %"),
    (
        {"utterances": shortened(0.62)},
        "fast-synthesis",
        "doubtful",
        "less than 0.7 of the recorded time, down to 0.62",
    ),
    ({"utterances": shortened(1.5)}, "slow-synthesis", "doubtful", "over 1.4 of the recorded time, up to 1.50"),
    ({"utterances": changed(status="kept-original")}, "not-resynthesised", "doubtful", "up to 100 % in a"),
    ({"utterances": ALONE}, "one-sided", "doubtful", "a side with less than 5 % of the speech, down to 0 % in a"),
    ({"utterances": LATE, "duration": 12.0}, "late-start", "note", "over 5 s of silence, up to 6.5 s in a"),
]


def found_in(*rows, run=None):
    findings = all_findings(tables_from(map(from_finished, rows)), RunRecord.from_json(run or {}))
    return {finding.kind: finding for finding in findings}


def test_good_conversation_has_no_finding_and_its_verdict_is_good():
    assert found_in(talk(provenance='{"source_licence": "CC0-1.0"}')) == {}
    tables = tables_from(map(from_finished, [talk()]))
    judged = judged_conversations(tables.conversations)
    values = judged[["badness", "breaches"]].values.tolist()
    assert values == [[0, ()]]
    assert verdict_of([], 1)[:2] == ("good", "good: nothing speaks against training on it")


@pytest.mark.parametrize(("columns", "kind", "severity", "part"), PLANTED, ids=[case[1] for case in PLANTED])
def test_each_warning_is_found_where_it_is_planted(columns, kind, severity, part):
    findings = found_in(talk(**columns))
    finding = findings[kind]
    assert finding.level == "advice"
    assert finding.severity == severity
    assert part in finding.sentence
    verdict = verdict_of(findings.values(), 1)
    if severity == "note":
        assert verdict.level in ("good", "doubtful", "bad")
    else:
        assert verdict.level in (severity, "bad")


def test_a_leak_is_a_note_and_doubtful_where_much_speech_may_be_the_other_speakers():
    leaking = sides(leak_db=-20.0, leak_seconds=0.1)
    handled = found_in(talk(sides=leaking, utterances=changed(leak_share=0.2)))["leakage"]
    assert handled.severity == "note"
    assert "-20 dB, 100 ms late" in handled.problem
    spans = [
        {"start": start, "end": start + 1.0, "leak_db": -25.0 + start, "leak_seconds": 0.1} for start in (0, 9)
    ]
    changing = found_in(talk(sides=sides(leak_db=-20.0, leak_seconds=0.1, leaks=spans)))["leakage"]
    assert "-25 to -16 dB, 100 ms late" in changing.problem
    in_doubt = found_in(talk(sides=leaking, utterances=changed(leak_share=0.8)))["leakage"]
    assert in_doubt.severity == "doubtful"
    assert "leakage" not in found_in(talk())


def test_words_that_both_sides_say_at_once_are_doubtful():
    said = []
    for number in range(40):
        start = 0.1 * number
        word = {"word": f"word{number}", "start": start, "end": start + 0.1, "source": "recogniser"}
        said.append({**word, "probability": None, "speaker": "left", "filler": False})
        if number % 4 == 0:
            said.append({**word, "probability": None, "speaker": "right", "filler": False, "start": start + 0.3})
        else:
            said.append({**word, "probability": None, "speaker": "right", "filler": False, "word": f"own{number}"})
    finding = found_in(talk(alignments=said))["same-words"]
    assert finding.severity == "doubtful"
    assert "10 %" in finding.sentence
    own = [word | {"word": f"{word['speaker']}{number}"} for number, word in enumerate(said)]
    assert "same-words" not in found_in(talk(alignments=own))


def said_by(side, start, text):
    """Words that a side says, five a second."""
    constants = {"speaker": side, "source": "recogniser", "probability": None}
    words = []
    for number, word in enumerate(text.split()):
        time = start + 0.2 * number
        filler = word.strip(",") in ("um", "uh")
        words.append(constants | {"word": word, "start": time, "end": time + 0.2, "filler": filler})
    return words


OWN = [
    *said_by("left", 0.0, " ".join(f"left{number}" for number in range(100))),
    *said_by("right", 25.0, " ".join(f"right{number}" for number in range(100))),
]


@pytest.mark.parametrize(
    ("left", "right", "quoted"),
    [
        ("I wanted to ask you", "I wanted to ask you", "I wanted to ask you"),
        ("So, um, I Wanted to ask", "so I well wanted to ask.", "So, um, I Wanted to ask"),
        ("ask you to wait", "you ask wait to", None),
        ("zero one, seven twenty-five", "zero one, seven twenty-five", None),
        ("555 12 9876 43", "555 12 9876 43", None),
        ("thank you bye bye bye-bye goodbye", "thank you bye bye bye-bye goodbye", None),
        ("um uh um, uh I see", "um uh um uh I see", None),
        ("no no no no no no", "no no no no no no", None),
    ],
)
def test_words_in_a_row_that_both_sides_say_at_once_are_named_with_their_time(left, right, quoted):
    said = [*OWN, *said_by("left", 61.2, left), *said_by("right", 61.4, right)]
    finding = found_in(talk("call3", alignments=said)).get("same-words")
    problem = finding.problem if finding else ""
    assert (f'both sides of call3 have "{quoted}" at 61.2 s' in problem) == (quoted is not None)
    assert (finding is None) == (quoted is None)
    assert "up to" not in problem  # the share is within its limit
    late = [*OWN, *said_by("left", 61.2, left), *said_by("right", 62.9, right)]
    assert "same-words" not in found_in(talk(alignments=late))


def test_hours_that_were_lost_are_told_with_their_share_and_their_reason():
    run = {"rejected": LOST | {"reasons": {"its takes are too short": 119.8}}}
    finding = found_in(talk(), run=run)["lost-hours"]
    assert finding.severity == "doubtful"
    assert finding.problem == (
        "59 % of the input was rejected (119.8 s of 3.4 min, 1 of 2 conversations): its takes are too short"
    )
    short = {"rejected": LOST | {"seconds": 20.0}}
    assert "lost-hours" not in found_in(talk(), run=short)


def test_recordings_that_cannot_be_used_are_noted_and_many_of_them_are_doubtful():
    nothing_lost = LOST | {"seconds": 0.0}
    run = {"rejected": nothing_lost, "counts": {"recordings_rejected": 2}}
    few = found_in(talk(), run=run)["lost-recordings"]
    assert few.severity == "note"
    assert few.problem == "2 recordings can't be used, and none of the hours here are theirs"
    run["counts"] = {"recordings_rejected": 3}
    many = found_in(talk(), run=run)["lost-recordings"]
    assert many.severity == "doubtful"


UNUSABLE = {"it has one channel (mono)": 2, "it is empty": 1, "it is a pipe": 1}


def test_each_reason_of_recordings_that_cannot_be_used_is_told_with_their_number():
    remedies = dict.fromkeys(UNUSABLE, "export it again")
    nothing_lost = LOST | {"seconds": 0.0, "recordings": UNUSABLE, "remedies": remedies}
    run = {"rejected": nothing_lost, "counts": {"recordings_rejected": 4}}
    finding = found_in(talk(), run=run)["lost-recordings"]
    assert finding.problem == (
        "4 recordings can't be used, and none of the hours here are theirs: "
        "it has one channel (mono) (2); it is empty (1); it is a pipe (1)"
    )
    assert finding.remedy == "export it again; see rejects.jsonl"
    remedies["it is empty"] = "copy it again"
    assert found_in(talk(), run=run)["lost-recordings"].remedy == "do what rejects.jsonl says about each"
    more = nothing_lost | {"recordings": UNUSABLE | {"it is silent": 1, "it is a link": 1, "it is short": 1}}
    many = found_in(talk(), run=run | {"rejected": more})["lost-recordings"]
    assert many.problem.endswith("it is a pipe (1); it is silent (1); 2 other reasons")


def test_each_reason_of_lost_hours_is_told_with_its_seconds():
    reasons = {"its takes are too short": 100.0, "nobody speaks": 19.8}
    finding = found_in(talk(), run={"rejected": LOST | {"reasons": reasons}})["lost-hours"]
    assert finding.problem.endswith(": its takes are too short (100.0 s); nobody speaks (19.8 s)")


def test_conversation_that_hardly_weighs_in_the_hours_is_doubtful_where_many_would_be_bad():
    sure = [talk(str(n)) for n in range(19)]
    unsure = talk("t", utterances=changed(confidence=0.1))
    few = found_in(*sure, unsure)
    assert few["low-confidence"].severity == "doubtful"
    many = found_in(*sure[17:], unsure)
    assert many["low-confidence"].severity == "bad"


def test_first_line_of_a_verdict_is_its_level_and_the_worst_reason():
    mild = Finding("advice", "a", "mild in a", "mend it", "mild", "doubtful")
    hard = Finding("advice", "a", "hard in a", "mend it", "hard", "bad")
    assert verdict_of([mild, hard], 2).headline == "bad: hard in a; and 1 more reason"
    assert verdict_of([mild], 2).headline == "doubtful: mild in a"
    assert verdict_of([mild], 0).headline == "empty: mild in a"
    assert verdict_of([], 0).headline == "empty: there is no conversation"
    undecoded = Finding("advice", ".", "the sound of 2 clips was not decoded", "x", "not-decoded", "note")
    assert verdict_of([undecoded], 2).headline.endswith("training on it; the sound of 2 clips was not decoded")
    assert verdict_of([mild, undecoded], 2).headline == "doubtful: mild in a"
    broken = Finding("error", "x.wav", "it is gone", "export again", "missing-audio", "bad")
    assert verdict_of([mild, broken], 0).headline == "bad: x.wav: it is gone; and 1 more reason"


def test_worst_conversation_has_the_most_badness_and_its_breaches_the_worst_first():
    noise = sides(snr_db=5.0)
    noisy_row = talk("b", sides=noise)
    worst_row = talk("c", sides=noise, utterances=changed(confidence=0.1))
    tables = tables_from(map(from_finished, [talk(), noisy_row, worst_row]))
    judged = judged_conversations(tables.conversations)
    fine, noisy, both = judged["badness"]
    assert fine == 0 < noisy < both
    assert judged["breaches"][2] == ("confidence", "snr")


def test_limit_that_is_taken_away_finds_nothing():
    limits = LIMITS | {"noise": None}
    tables = tables_from(map(from_finished, [talk(sides=sides(snr_db=-5.0))]))
    assert "noise" in kinds_in(all_findings(tables))
    assert "noise" not in kinds_in(all_findings(tables, limits=limits))


@pytest.mark.parametrize(
    ("licence", "mode", "severity"),
    [
        (None, "recorded", "note"),
        ("Contract 7", "anchor", "note"),
        ("LDC User Agreement, no redistribution", "recorded", "doubtful"),
        ("CC-BY-NC-ND-4.0", "anchor", "doubtful"),
        ("CC-BY-NC-ND-4.0", "recorded", None),  # nothing was changed
        ("CC-BY-NC-4.0", "anchor", None),
    ],
)
def test_unknown_licence_is_a_note_and_one_that_forbids_a_reason(licence, mode, severity):
    provenance = json.dumps({"source_licence": licence})
    row = talk(provenance=provenance, timeline=talk()["timeline"] | {"mode": mode})
    findings = all_findings(tables_from([from_finished(row)]))
    findings = [finding for finding in findings if "licence" in finding.kind]
    assert severities_of(findings) == ([severity] if severity else [])


RUN = {
    "command": "dailytalk tag /home/ann/calls --out work",
    "date": "2026-01-02",
    "settings": {"profile": "embedded"},
    "models": {
        "recogniser": {"name": "base", "licence": "MIT"},
        "affect": {"name": "voice-linear", "licence": "CC0-1.0"},
    },
    "source": {"licence": "CC0-1.0"},
    "rejected": LOST,
    "speak": {
        "command": "dailytalk speak work",
        "models": {"synthesiser": {"name": "espeak", "licence": "GPL-3.0"}},
    },
}


def made_of(run):
    """What the header of a report says of a run, by its label."""
    template = environment().get_template("made.html")
    show = Displays(tables_from(map(from_finished, [talk()])), RunRecord.from_json(run), {})
    page = template.render(show=show)
    return dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", page))


def test_header_says_what_made_it_and_names_no_path_of_this_machine():
    facts = made_of(RUN)
    assert facts["words"] == "base (MIT)"
    assert facts["new voice"].startswith("espeak (GPL-3.0")
    assert facts["profile"] == "embedded"
    assert facts["date"] == "2026-01-02"
    assert facts["licence of the recordings"] == "CC0-1.0"
    assert facts["command"] == "dailytalk tag (a file) --out work, dailytalk speak work"
    assert "/home" not in str(facts)
    secret = RUN | {"command": "dailytalk tag https://ann:secret@host/x --out=/home/ann/w 'odd"}
    shown = str(made_of(secret))
    assert "secret" not in shown
    assert "/home" not in shown


def test_markup_in_a_name_is_text_in_the_verdict_and_in_the_header(tmp_path):
    row = rich_row("<b>a</b>", sides=sides(snr_db=1.0))
    work = write_dataset(tmp_path / "work", [row])
    (work / "run.json").write_text(json.dumps({"command": "<script>"}))
    page = write_report(work).path.read_text()
    assert "down to 1 dB in" in page
    assert "<b>a</b>" not in page
    assert "&lt;b&gt;a&lt;/b&gt;" in page
    assert "&lt;script&gt;" in page


def one_line(text):
    return " ".join(text.split())


def test_check_json_report_and_card_say_the_same(tmp_path, dailytalk, hub, impatient):
    noisy = talk("a", sides=sides(snr_db=9.0))
    unsure = talk("b", utterances=changed(confidence=0.5), transcript_repair="not used")
    work = write_dataset(tmp_path / "work", [noisy, unsure])
    version = "tester/talks@v1.0.0"
    page = tmp_path / "page.html"
    options = ("--create", "--licence", "CC0-1.0", "--tag", "v1.0.0", "--even-if-bad")
    done = dailytalk("push", work, "tester/talks", *options)
    assert done.code == 0
    card_path = hf_hub_download("tester/talks", "README.md", repo_type="dataset", revision="v1.0.0")
    card = Path(card_path).read_text()
    checked = dailytalk("check", version, "--json")
    verdict = json.loads(checked.out)["verdict"]
    assert "license: cc0-1.0" in card
    kinds = {finding["kind"] for finding in verdict["findings"]}
    assert kinds >= {"noise", "low-confidence", "repaired-transcripts"}
    sentences = [one_line(finding["what"]) for finding in verdict["findings"]]
    assert one_line(verdict["headline"]) in one_line(card.replace("\\", ""))
    done = dailytalk("report", version, "--out", page)
    assert done.code == 0
    shown = dailytalk("check", version, "-v").out
    for output in (shown, unescape(page.read_text()), card):
        text = one_line(output.replace("\\", ""))
        assert f"{verdict['level']}: " in text
        assert [sentence for sentence in sentences if sentence not in text] == []


def test_training_folder_has_the_verdict_of_the_rows_that_it_was_made_from(tmp_path):
    nobody = {"left": None, "right": None}
    columns = {"utterances": changed(confidence=0.5), "speakers": nobody}
    columns["provenance"] = '{"source_licence": "CC0-1.0"}'  # which the folder doesn't have
    columns["sides"] = sides(bandwidth_hz=3600.0, silent_end=42.0)
    rows = [talk("a", **columns), talk("b", **columns)]
    work = write_dataset(tmp_path / "work", rows)
    write_export(open_items(work).rows(), tmp_path / "data", MOSHI)
    kinds = kinds_of(work)
    assert kinds >= {"low-confidence", "telephone", "dead-side", "unknown-speakers"}
    assert kinds - kinds_of(tmp_path / "data") == set()


def test_person_who_is_left_in_some_conversations_and_right_in_others_is_named():
    def findings(*people):
        calls = [{"kept_speakers": names, "duration": 60.0} for names in people]
        return [finding for finding in findings_on(*calls) if finding.kind == "several-voices"]

    (finding,) = findings(["Rita", "Bo"], ["Cy", "Rita"], ["Rita", "Di"], ["Eve", "Rita"])
    assert finding.severity == "doubtful"
    assert (
        "Rita is on one side in 2 conversations, such as c, and on the other in 2, such as c1" in finding.problem
    )
    neighbours = [[f"p{number}", f"p{number + 1}"] for number in range(12)]
    (finding,) = findings(*neighbours)  # each has a twelfth of the seconds on the rarer side
    assert finding.severity == "note"
    assert findings(["Rita", "Bo"], ["Rita", "Cy"], ["Rita", None], ["Rita"]) == []


# The spread of gaps, and how much the main side says.


def metronome(number, overlaps=False):
    """A dialogue in which the agent answers once, after 0.4 s, and the user begins and ends it."""
    answer = 4.0 + 0.5 * (number % 4)
    ends = answer + 4.2
    again = ends - 0.3 if overlaps else ends + 0.4
    lines = (
        ("right", 0.0, answer - 0.4, "so I went there and it was closed"),
        ("left", answer, ends, "what did you do about that then"),
        ("right", again, 13.5, "I went home and made some tea"),
    )
    return built_row(f"call{number}", lines, 13.5, rate=8000)


def kinds_of(folder, limits=LIMITS):
    findings, _ = check_folder(folder, limits)
    return kinds_in(findings)


#: What is found in a metronome with a silent agent.
MECHANICAL = {"same-gaps", "agent-silent"}


@pytest.mark.parametrize("overlapping", [0, 3])
def test_metronome_with_a_silent_agent_is_found_in_rows_and_in_their_export(tmp_path, overlapping):
    overlaps = [metronome(number, overlaps=True) for number in range(overlapping)]
    others = [metronome(number) for number in range(overlapping, 20)]
    rows = [*overlaps, *others]
    work = write_dataset(tmp_path / "work", rows)
    write_export(open_items(work).rows(), tmp_path / "data", MOSHI)
    for folder in (work, tmp_path / "data"):
        assert kinds_of(folder) >= MECHANICAL
    limits = LIMITS | dict.fromkeys(MECHANICAL)
    assert not kinds_of(work, limits) & MECHANICAL


def with_sides_exchanged(name, row):
    lines = []
    for line in row["utterances"]:
        channel = "left" if line["channel"] == "right" else "right"
        lines.append((channel, line["start"], line["end"], line["text"]))
    return built_row(name, lines, 13.5, rate=8000)


def test_agent_is_silent_whoever_gave_it_a_voice_and_a_silent_user_is_not_the_agent(tmp_path):
    as_recorded = [metronome(number) for number in range(12)]
    for row in as_recorded:
        for line in row["utterances"]:
            line.update(status="kept", synthesis=None)
    work = write_dataset(tmp_path / "recorded", as_recorded)
    assert "agent-silent" in kinds_of(work)
    turned = [with_sides_exchanged(f"call{number}", row) for number, row in enumerate(as_recorded)]
    work = write_dataset(tmp_path / "turned", turned)
    assert "agent-silent" not in kinds_of(work)


def voice_without_pauses(samples):
    """Samples without the tenths of a second in which nothing is loud."""
    tenths = samples.reshape(-1, 1600)
    loudest = np.abs(tenths).max(axis=1)
    return tenths[loudest > 0.1].reshape(-1)


def test_metronome_is_found_in_a_recording_of_it(tmp_path, dailytalk):
    chance = np.random.default_rng(0)
    recorded = example("bicycle_repair")[: 16000 * 60]
    left_voice = voice_without_pauses(recorded[:, 0])
    right_voice = voice_without_pauses(recorded[:, 1])
    voices = (left_voice, right_voice)
    sound = chance.normal(0, 1e-4, (16000 * 130, 2))
    start = 16000
    utterances = []
    for turn in range(45):
        length = round(16000 * chance.uniform(1.2, 3.2))
        end = start + length
        side = turn % 2
        voice = voices[side]
        first = chance.integers(0, len(voice) - length)
        sound[start:end, side] += voice[first : first + length]
        times = {"start": start / 16000, "end": end / 16000}
        words = {"channel": alternating(turn), "text": "some words of it"}
        utterances.append(words | times)
        start = end + 6400
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in/call.wav", sound, 16000)
    (tmp_path / "in/call.json").write_text(json.dumps({"utterances": utterances}))
    work = tmp_path / "work"
    done = dailytalk("tag", tmp_path / "in", "--out", work, *EMBEDDED)
    assert done.code == 0
    assert "same-gaps" in kinds_of(work)


@pytest.mark.nightly
@pytest.mark.parametrize("kind", ["bundled", pytest.param("calls", marks=pytest.mark.needs("the real calls"))])
def test_people_are_no_metronomes_and_no_silent_agents(tmp_path, dailytalk, kind):
    (tmp_path / "in").mkdir()
    suffix = ".json"
    sounds = REAL_CALLS
    if kind == "bundled":
        suffix = ".reference.json"
        sounds = [*EXAMPLES.glob("*.flac")]
    for sound in sounds:
        shutil.copy(sound, tmp_path / "in")
        words = sound.with_suffix(suffix)
        shutil.copy(words, tmp_path / f"in/{sound.stem}.json")
    work = tmp_path / "work"
    done = dailytalk("tag", tmp_path / "in", "--out", work, *EMBEDDED)
    assert done.code == 0
    rows = [*open_items(work).rows()]
    rows *= 5  # as many as their median needs
    tables = tables_from(map(from_finished, rows), finished=False)
    assert tables.n >= 10
    assert not kinds_in(all_findings(tables)) & MECHANICAL


def test_limit_of_a_silent_agent_is_that_of_published_corpora():
    """What three of four conversations of Open Yap 1K have, of the speech that Fisher has in a minute."""
    quarter = np.interp(25, (5, 50), (0.27, 0.56))  # of the share of the floor
    share = quarter * 53.5 / 60
    assert LIMITS["agent-silent"] == round(share, 2)
