"""A run against a service that fails as real ones do: nothing gets lost, silent, or bought twice."""

import io
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
        for sentence in stops:
            assert "402" in sentence
            assert "credit" in sentence
            assert "\n" not in sentence
        for fault in set(MIX) - {"timeout"}:
            assert server.answers[fault]
        assert server.answers["timeout"] + server.answers["reset"] > 1
        left = read_lines(work / "transcript.jsonl")[::2]
        texts = {f"(calm) {line['text']}" for line in left}
        assert len(texts) == 40
        assert server.purchases == dict.fromkeys(texts, 1)
        cached = list((tmp_path / "cache").rglob("*.flac"))
        assert len(cached) == 40 + server.answers["silence"]  # takes that were refused are kept too
        money = outcome.record["money"]
        asked = len(server.asked)
        again = say(work, chosen)
        assert again.run.done == 0
        assert len(server.asked) == asked
    assert money["saved_by_cache"] > 0
    lines = read_lines(work / "transcript.jsonl")
    _balanced(work, {line["utterance_id"] for line in lines}, outcome)
    _audible(work)


def _balanced(work: Path, ids: set[str], outcome: RunOutcome) -> None:
    shifted = read_lines(work / "transcript_shifted.jsonl")
    assert sorted(line["utterance_id"] for line in shifted) == sorted(ids)
    assert (work / "rejects.jsonl").read_bytes() == b""
    counts = outcome.record["counts"]
    assert counts["conversations"] == 4
    assert counts["spoken"] == 40
    assert counts["kept"] == 40
    assert counts["rejects"] == 0


def _audible(work: Path) -> None:
    heard = 0
    for path in (work / "dataset").glob("*.parquet"):
        for row in pq.read_table(path).to_pylist():
            samples, rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]), always_2d=True)
            file = work / "audio" / f"{row['conversation_id']}_edited.wav"
            wav, _ = soundfile.read(file, always_2d=True)
            assert np.array_equal(samples, wav)
            n_words = 0
            for utterance in row["utterances"]:
                first = round(utterance["start"] * rate)
                last = round(utterance["end"] * rate)
                side = ("left", "right").index(utterance["channel"])
                sound = samples[first:last, side]
                assert np.sqrt(np.mean(sound**2)) > AUDIBLE, utterance["utterance_id"]
                heard += 1
                n_words += len(utterance["text"].split())
            assert len(row["alignments"]) == n_words
    assert heard == 80
