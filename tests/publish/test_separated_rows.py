"""Finished conversations that came with one channel: they are known as such, and never counted among others."""

import json
from pathlib import Path
from typing import Any

import pytest
from audio_files import SEPARATED_BY
from built_conversations import built_row, write_dataset
from card_versions import card_of, published_row, write_version
from command import Command
from mixes import mix_folders
from published_folder import write_published

from dailytalk_contiguous import load
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.tally import Tally
from dailytalk_contiguous.publish.card import CardFacts
from dailytalk_contiguous.publish.checking import check_folder
from dailytalk_contiguous.publish.exports import write_export
from dailytalk_contiguous.publish.moshi_folder import MOSHI
from dailytalk_contiguous.publish.opening import open_items
from dailytalk_contiguous.publish.verdict import Judge

#: A separator that may not be used commercially, after the diariser.
SEPARATOR = {
    "role": "separator",
    "name": "owner/dialogue",
    "licence": "CC-BY-NC-4.0",
    "url": "https://example.org/s",
}
MODELS = [*SEPARATED_BY, SEPARATOR]


def separated(
    row: dict[str, Any], confidence: float = 0.97, origin: str = "recorded", **fields: Any
) -> dict[str, Any]:
    utterances = [
        utterance
        | {"origin": origin, "side_confidence": confidence, "source_channel": utterance["channel"]}
        | {f"source_{edge}": utterance[edge] for edge in ("start", "end")}
        | fields
        for utterance in row["utterances"]
    ]
    return row | {"utterances": utterances, "separated_by": MODELS}


def work(folder: Path, *separations: dict[str, Any] | None) -> Path:
    """Finished conversations `call0`, …: recorded with two channels (None), or separated."""
    rows = [built_row(f"call{n}", kept_speaker=f"p{n}") for n in range(len(separations))]
    pairs = zip(rows, separations, strict=True)
    return write_dataset(folder, [row if how is None else separated(row, **how) for row, how in pairs])


def finding(folder: Path) -> Any:
    judge, tally = Judge(), Tally()
    for row in open_items(folder).rows():
        judge.add(row)
        tally.add(row)
    return next((found for found in judge.findings(tally) if found.kind == "separated"), None)


def test_verdict_counts_doubtful_sides_and_what_holds_both_voices(tmp_path: Path) -> None:
    assert finding(work(tmp_path / "recorded", None, None)) is None
    sure = finding(work(tmp_path / "sure", {}, None))
    assert sure.severity == "note"
    assert "1 of 2 conversations came with one channel" in sure.what
    assert "0 of 4 lines" in sure.what
    unsure = finding(work(tmp_path / "unsure", {"confidence": 0.6}, None))
    assert (unsure.severity, "4 of 4 lines" in unsure.what) == ("doubtful", True)
    said = finding(work(tmp_path / "said", {"confidence": 0.6, "edited_fields": ["channel"]}))
    assert "0 of 4 lines" in said.what  # a person said on which side they are
    both = finding(work(tmp_path / "both", {"origin": "mixed"}))
    (row,) = open_items(tmp_path / "both").rows()
    spans = [(line["channel"], line["start"], line["end"]) for line in row["utterances"]]
    seconds = sum(
        max(0.0, min(end, last) - max(start, first))
        for side, start, end in spans
        for other, first, last in spans
        if (side, other) == ("left", "right")
    )
    assert f"for {seconds:.1f} s" in both.what


def test_measures_are_of_recorded_conversations_alone_where_there_are_any(tmp_path: Path) -> None:
    def measured(folder: Path) -> Tally:
        tally = Tally()
        for row in open_items(folder).rows():
            tally.add(row)
        return tally

    mixed, recorded = measured(work(tmp_path / "mixed", None, {}, {})), measured(work(tmp_path / "recorded", None))
    assert mixed.turn_taking.stats() == recorded.turn_taking.stats()
    assert mixed.stats() | {"conversations": 1, "separated": 0, "hours": 0} == recorded.stats() | {"hours": 0}
    assert mixed.stats()["separated"] == 2
    alone = measured(work(tmp_path / "alone", {}, {}))
    assert alone.turn_taking.stats() == measured(work(tmp_path / "two", None, None)).turn_taking.stats()


def test_report_says_what_is_left_out_and_lists_doubtful_lines(dailytalk: Command, tmp_path: Path) -> None:
    folder = work(tmp_path / "work", None, {"confidence": 0.7}, {"confidence": 0.55})
    done = dailytalk("report", folder, "--out", tmp_path / "report.html", "--audio", "none")
    assert done.code == 0, done.err
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "2 of 3 conversations came with one channel" in page
    assert "not measured here" in page
    table = page[page.index("Doubtful sides") :]
    assert table.index("call2/left") < table.index("0.70")  # the least sure first


def test_card_names_the_models_and_has_their_licence(tmp_path: Path) -> None:
    rows = [published_row("a", kept_speaker="p"), separated(published_row("b", kept_speaker="q"), origin="mixed")]
    version = write_version(tmp_path / "separated", {"train": rows})
    card = card_of(None, *version, CardFacts("owner/talks", "v1.0.0"), {}, ())
    assert "license: other" in card.text  # CC-BY-4.0 recordings, and no commercial use
    assert "1 of 2 conversations came with one channel" in card.text
    assert "origin: mixed" in card.text
    for model in MODELS:
        assert model["name"] in card.text
    chosen = card_of(None, *version, CardFacts("owner/talks", "v1.0.0", licence="cc-by-4.0"), {}, ())
    assert any("owner/dialogue" in warning for warning in chosen.warnings)
    recorded = write_version(tmp_path / "recorded", {"train": rows[:1]})
    assert "license: cc-by-4.0" in card_of(None, *recorded, CardFacts("owner/talks", "v1.0.0"), {}, ()).text


@pytest.mark.parametrize("streaming", [False, True])
def test_load_gives_recorded_conversations_alone_on_request(tmp_path: Path, streaming: bool) -> None:
    folder = work(tmp_path, None, {}, None)
    rows = load(folder, split="train", recorded=True, streaming=streaming)
    assert [(row["conversation_id"], row["separated_by"]) for row in rows] == [("call0", None), ("call2", None)]
    assert [row["separated_by"] is None for row in load(folder, split="train")] == [True, False, True]
    with pytest.raises(DailytalkError, match="separated_by"):
        load(folder, split="train", recorded=True, columns=["conversation_id"])


def test_load_filters_every_split_of_a_version(tmp_path: Path) -> None:
    folder = write_published(tmp_path / "separated", separated_by=MODELS)
    assert {len(rows) for rows in load(folder, recorded=True).values()} == {0}
    assert sum(map(len, load(write_published(tmp_path / "recorded"), recorded=True).values())) == 10


def test_export_and_mix_know_what_was_separated_and_can_leave_it_out(tmp_path: Path) -> None:
    folder = work(tmp_path / "work", None, {"confidence": 0.6}, None, None)
    (tmp_path / "work" / "run.json").write_text(json.dumps({"source": {"licence": "CC-BY-4.0"}}))
    write_export(open_items(folder).rows(), tmp_path / "moshi", MOSHI)
    found, _ = check_folder(tmp_path / "moshi")
    assert [
        "1 of 4 conversations came with one channel" in one.what for one in found if one.kind == "separated"
    ] == [True]
    for number, place in enumerate((folder, tmp_path / "moshi")):
        done = mix_folders([(place, None)], tmp_path / f"all{number}")
        assert "commercial" in done.licence.asks
        assert any("owner/dialogue" in warning for warning in done.warnings)
        done = mix_folders([(place, None)], tmp_path / f"recorded{number}", recorded_only=True)
        assert "commercial" not in done.licence.asks
        assert sum(done.lines.values()) == 3
        (reject,) = done.rejects
        assert "--recorded-only" in reject.remedy
