"""A run against a service that fails as real ones do: nothing gets lost, silent, or bought twice."""

import io
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
from recordings import read_lines
from scripted import folder, loopback, say, settings, talk
from tts_server import MIX, NO_CREDIT, TtsServer

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.run.run import RunOutcome

#: -40 dBFS: far above the room tone, far below anything said.
AUDIBLE = 0.01


def test_faulty_service_loses_nothing_repeats_nothing_and_leaves_no_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = folder(tmp_path / "work", **{f"call{n}": talk(f"call {n}", 20) for n in range(4)})
    faulty = TtsServer(faults={**MIX, **NO_CREDIT}, seed=2860, retry_after=0)
    chosen = settings(tmp_path)
    stops: list[str] = []
    with loopback(monkeypatch, faulty) as server:
        outcome: RunOutcome | None = None
        while outcome is None and len(stops) < 10:
            try:
                outcome = say(work, chosen)
            except DailytalkError as error:
                stops.append(str(error))
        assert outcome is not None
        assert stops, "no answer was 402: take another seed"
        assert all("402" in told and "credit" in told and "\n" not in told for told in stops)
        assert {fault for fault in MIX if server.answers[fault]} >= set(MIX) - {"timeout"}
        assert server.answers["timeout"] + server.answers["reset"] > 1
        texts = {f"(calm) {line['text']}" for line in read_lines(work / "transcript.jsonl")[::2]}
        assert len(texts) == 40
        assert server.purchases == dict.fromkeys(texts, 1)
        cached = list((tmp_path / "cache").rglob("*.flac"))
        assert len(cached) == 40 + server.answers["silence"]  # takes that were refused are kept too
        money = outcome.record["money"]
        asked = len(server.asked)
        again = say(work, chosen)
        assert (again.run.done, len(server.asked)) == (0, asked)
    assert money["saved_by_cache"] > 0
    said = read_lines(work / "transcript.jsonl")
    _balanced(work, {line["utterance_id"] for line in said}, outcome)
    _audible(work)


def _balanced(work: Path, ids: set[str], outcome: RunOutcome) -> None:
    shifted = read_lines(work / "transcript_shifted.jsonl")
    assert sorted(line["utterance_id"] for line in shifted) == sorted(ids)
    assert (work / "rejects.jsonl").read_bytes() == b""
    counts = outcome.record["counts"]
    assert (counts["conversations"], counts["spoken"], counts["kept"], counts["rejects"]) == (4, 40, 40, 0)


def _audible(work: Path) -> None:
    heard = 0
    for path in (work / "dataset").glob("*.parquet"):
        for row in pq.read_table(path).to_pylist():
            samples, rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]), always_2d=True)
            wav, _ = soundfile.read(work / "audio" / f"{row['conversation_id']}_edited.wav", always_2d=True)
            assert np.array_equal(samples, wav)
            for utterance in row["utterances"]:
                side = samples[
                    round(utterance["start"] * rate) : round(utterance["end"] * rate),
                    int(utterance["channel"] == "right"),
                ]
                assert np.sqrt(np.mean(side**2)) > AUDIBLE, utterance["utterance_id"]
                heard += 1
            assert len(row["alignments"]) == sum(len(re.findall(r"\S+", u["text"])) for u in row["utterances"])
    assert heard == 80
