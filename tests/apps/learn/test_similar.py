"""Search by embeddings: exact, among other speakers, and a page to listen to that only shows what it was given."""

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from built_conversations import built_row, write_dataset
from finished_corpora import clip_row, corpus_folder
from numpy.typing import NDArray
from recordings import calls, excerpt, save

from dailytalk_contiguous.apps.learn.embeddings import (
    COLUMNS,
    EMBEDDINGS,
    Embeddings,
    read_embeddings,
    write_embeddings,
)
from dailytalk_contiguous.apps.learn.similar import SHRINKAGE, Match, find_similar, write_similar_page
from dailytalk_contiguous.apps.learn.token_rows import (
    ProsodySpec,
    find_speech,
    open_sound,
    token_rows,
    utterance_sound,
)
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.models.prosodic_encoder import ProsodicSequenceEncoder
from dailytalk_contiguous.run.run import run
from dailytalk_contiguous.stages.tokenise_prosody import TokeniseProsody

HOSTILE = "</p><script>alert(1)</script><img src=http://example.org/x onerror=alert(2)>"


def row(number: int, speaker: str | None = "ann", **facts: Any) -> dict[str, Any]:
    lacking = dict.fromkeys(name for name in COLUMNS if name != "embedding")
    name = f"call{number}"
    return (
        lacking
        | {"id": f"{name}/left/0000", "conversation_id": name, "channel": "left"}
        | {"speaker": speaker}
        | facts
    )


def some(count: int = 200, width: int = 16, speakers: int = 5) -> Embeddings:
    vectors = np.random.default_rng(0).normal(size=(count, width)).astype(np.float32)
    return Embeddings([row(number, f"speaker{number % speakers}") for number in range(count)], vectors)


def ids(matches: list[Match]) -> list[str]:
    return [match.row["id"] for match in matches]


def embedded(source: Path, out: Path) -> Embeddings:
    """Tokens and embeddings in `out`, of an encoder that has learned nothing."""
    run(ProsodySpec(find_speech([str(source)], out), out, TokeniseProsody()))
    write_embeddings(token_rows(out), ProsodicSequenceEncoder(hidden_dim=32, num_layers=1, nhead=2), out)
    return read_embeddings(out)


def test_the_nearest_of_all_are_found_in_their_order() -> None:
    embeddings = some()
    asked, found = find_similar(embeddings, "call7/left/0000", top=12)
    exact = embeddings.vectors.astype(np.float64)
    exact -= exact.mean(axis=0)
    variances, directions = np.linalg.eigh(np.cov(exact.T, bias=True))
    exact = exact @ directions / np.sqrt(variances + SHRINKAGE * variances.mean())
    exact /= np.linalg.norm(exact, axis=1, keepdims=True)
    cosines = exact @ exact[7]
    order = [place for place in np.argsort(-cosines) if place != 7][:12]
    assert asked.row["id"] == "call7/left/0000"
    assert ids(found) == [f"call{place}/left/0000" for place in order]
    assert [match.similarity for match in found] == pytest.approx(cosines[order], abs=1e-6)


def test_other_speakers_leaves_out_the_own_one_and_nobody_else() -> None:
    embeddings = some()
    _, found = find_similar(embeddings, "call7/left/0000", top=1000, other_speakers=True)
    assert {match.row["speaker"] for match in found} == {f"speaker{number}" for number in (0, 1, 3, 4)}
    assert len(found) == 160


def test_speaker_whom_nobody_knows_is_the_channel_of_the_conversation() -> None:
    vectors = np.ones((3, 4), np.float32)
    embeddings = Embeddings([row(0, None), row(0, None, id="call0/left/0001"), row(1, None)], vectors)
    assert ids(find_similar(embeddings, "call0/left/0001", other_speakers=True)[1]) == ["call1/left/0000"]


def test_one_speaker_alone_has_nobody_like_it() -> None:
    with pytest.raises(DailytalkError, match="nobody but 'speaker0' speaks in it"):
        find_similar(some(speakers=1), "call7/left/0000", other_speakers=True)


def test_clip_is_named_by_its_own_id_and_an_unknown_id_is_one_sentence() -> None:
    assert find_similar(some(), "call7")[0].row["id"] == "call7/left/0000"
    with pytest.raises(DailytalkError, match=r"'call' names 0 utterances: .*such as 'call0/left/0000'"):
        find_similar(some(), "call")
    several = Embeddings([row(0), row(0, id="call0/left/0001")], np.ones((2, 4), np.float32))
    with pytest.raises(DailytalkError, match="'call0' names 2 utterances"):
        find_similar(several, "call0")


class Page(HTMLParser):
    """What is in a page: its tags, the sources of its players, and its text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.html = path.read_text(encoding="utf-8")
        self.text = ""
        self.feed(self.html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href") and tag != "a"]

    def handle_data(self, data: str) -> None:
        self.text += data

    def sounds(self) -> list[NDArray[np.float32]]:
        encoded = [base64.b64decode(source.partition(",")[2]) for source in self.sources]
        return [soundfile.read(io.BytesIO(mp3), dtype="float32")[0] for mp3 in encoded]


def test_page_plays_the_utterances_themselves_and_asks_for_nothing_else(tmp_path: Path) -> None:
    embeddings = embedded(calls(tmp_path / "calls", "ann", "ben"), tmp_path / "out")
    items = open_sound(tmp_path / "out")
    asked, found = find_similar(embeddings, embeddings.rows[0]["id"], top=2)
    write_similar_page(tmp_path / "page.html", asked, found, items)
    page = Page(tmp_path / "page.html")
    assert all(source.startswith("data:audio/mpeg;base64,") for source in page.sources)
    assert "default-src 'none'" in page.html
    sounds = page.sounds()
    assert len(sounds) == 3
    for match, sound in zip((asked, *found), sounds, strict=True):
        own = match.row
        file = soundfile.read(tmp_path / "calls" / f"{own['conversation_id']}.wav")[0]
        part = file[
            round(own["start"] * 16000) : round(own["end"] * 16000), ("left", "right").index(own["channel"])
        ]
        assert len(sound) / 24000 == pytest.approx(len(part) / 16000, abs=0.1)
        levels = [
            np.sqrt(np.mean(np.square(each[: len(each) // 8 * 8].reshape(8, -1)), axis=1))
            for each in (sound, part)
        ]
        assert np.corrcoef(*levels)[0, 1] > 0.9


def test_hostile_words_are_shown_as_text(tmp_path: Path) -> None:
    embeddings = embedded(calls(tmp_path / "calls", "ann"), tmp_path / "out")
    for own in embeddings.rows:
        own |= {"text": f"It rained. {HOSTILE}", "speaker": HOSTILE, "tag": HOSTILE}
    asked, found = find_similar(embeddings, embeddings.rows[0]["id"])
    items = open_sound(tmp_path / "out")
    write_similar_page(tmp_path / "page.html", asked._replace(row=asked.row | {"id": HOSTILE}), found, items)
    page = Page(tmp_path / "page.html")
    assert page.tags.count("script") == 1
    assert "img" not in page.tags
    assert page.text.count(HOSTILE) >= 2 * len(embeddings.rows)
    assert page.text.count("It rained.") == 1 + len(found)


def test_recording_that_is_another_one_now_is_not_played(tmp_path: Path) -> None:
    """The author of a shared folder may have named any file of the user's in a shard."""
    embeddings = embedded(calls(tmp_path / "calls", "ann"), tmp_path / "out")
    save(tmp_path / "calls/ann.wav", excerpt(start=20.0))
    asked, found = find_similar(embeddings, embeddings.rows[0]["id"], top=1)
    write_similar_page(tmp_path / "page.html", asked, found, open_sound(tmp_path / "out"))
    page = Page(tmp_path / "page.html")
    assert page.sources == []
    assert page.text.count("No sound: the recording (a file) is not the one that was tagged.") == 2


def test_sound_of_what_was_finished_is_named_and_is_that_of_each_utterance(tmp_path: Path) -> None:
    write_dataset(tmp_path / "work", [built_row("one"), built_row("two")])
    embeddings = embedded(tmp_path / "work", tmp_path / "out")
    with pytest.raises(DailytalkError, match="encoded from what was finished before: name what was encoded"):
        open_sound(tmp_path / "out")
    items = open_sound(tmp_path / "out", str(tmp_path / "work"))
    for own in embeddings.rows:
        samples = utterance_sound(items, own, 16000)[:, 0]
        hertz = np.argmax(np.abs(np.fft.rfft(samples))) * 16000 / len(samples)
        assert hertz == pytest.approx({"left": 220, "right": 330}[own["channel"]], abs=3)
        assert len(samples) == pytest.approx((own["end"] - own["start"]) * 16000, abs=2)


def test_clips_of_a_corpus_are_heard_and_show_their_labels(tmp_path: Path) -> None:
    rows = [clip_row("ann-1", "happy", tag="cheerful"), clip_row("ben-2", "sad"), clip_row("cat-3", "sad")]
    embeddings = embedded(corpus_folder(tmp_path / "corpus", rows), tmp_path / "out")
    asked, found = find_similar(embeddings, "acted/ann-1")
    assert (asked.as_dict()["tag"], asked.as_dict()["emotion"]) == ("cheerful", "happy")
    write_similar_page(
        tmp_path / "page.html", asked, found, open_sound(tmp_path / "out", str(tmp_path / "corpus"))
    )
    page = Page(tmp_path / "page.html")
    assert len(page.sounds()) == 3
    assert re.search(r"acted/ann · cheerful · happy", page.text)


@pytest.mark.parametrize("values", [[float("nan")] * 32, [None] * 32, [1.0] * 31, None, [3e38] * 32])
def test_embedding_that_is_no_vector_of_numbers_is_one_sentence(tmp_path: Path, values: Any) -> None:
    embedded(calls(tmp_path / "calls", "ann"), tmp_path / "out")
    path = tmp_path / "out" / EMBEDDINGS
    table = pq.read_table(path)
    vectors = table.column("embedding").to_pylist()
    for rows, words in (
        ([values, *vectors[1:]], "no number|several sizes"),
        ([None for _ in vectors], "embeddings of no numbers"),
        ([[] for _ in vectors], "embeddings of no numbers"),
    ):
        column = pa.array(rows, table.schema.field("embedding").type)
        pq.write_table(table.set_column(table.schema.get_field_index("embedding"), "embedding", column), path)
        with pytest.raises(BadInput, match=rf"embeddings\.parquet.*({words})"):
            read_embeddings(tmp_path / "out")
