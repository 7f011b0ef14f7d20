"""Pipes, sockets and devices in an input: a command that opened one would wait for it for ever."""

import os
import socket
from pathlib import Path

import pytest
from command import Command
from recordings import save

from dailytalk_contiguous.apps.clips.corpora.corpus_files import open_tree
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.machine.read_documents import read_json
from dailytalk_contiguous.sources.folder import FolderConfig, folder_rows
from dailytalk_contiguous.sources.recordings import LeftOut
from dailytalk_contiguous.store.parquet import open_parquet

REASON = "it is a pipe, a socket or a device, not a file"

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names here")


def pipe(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)
    return path


def test_pipe_or_socket_named_like_a_recording_is_a_reject_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "good.wav")
    pipe(tmp_path / "pipe.wav")
    pipe(tmp_path / "clip_edited.wav")
    pipe(tmp_path / "call.left.mp3")
    save(tmp_path / "call.right.wav")
    monkeypatch.chdir(tmp_path)  # the path of a socket may have about a hundred bytes
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("sock.flac")
        rows = list(folder_rows(FolderConfig(inputs=(str(tmp_path),), channel="mix")))
        rows += folder_rows(FolderConfig(inputs=(str(tmp_path),)))
    problems = {row["audio_file"]: row["problem"] for row in rows}
    assert problems["good.wav"] is None
    for name in ("pipe.wav", "clip_edited.wav", "call.left.mp3", "sock.flac"):
        assert problems[name] == REASON
    (row,) = folder_rows(FolderConfig(inputs=(str(tmp_path / "pipe.wav"),)))
    assert row["problem"] == REASON
    assert row["remedy"] == "save what it holds as a file, or take it out of the folder"


def test_pipe_named_like_a_transcript_is_listed_and_not_read(tmp_path: Path) -> None:
    save(tmp_path / "in/good.wav")
    names = ("good.srt", "good.left.json", "hub5.stm")
    for name in names:
        pipe(tmp_path / "in" / name)
    left_out = LeftOut()
    (row,) = folder_rows(FolderConfig(inputs=(str(tmp_path / "in"),)), left_out)
    assert (row["problem"], row["cues"]) == (None, [])
    assert left_out.unread == {REASON: sorted(names)}
    named = pipe(tmp_path / "words.json")
    left_out = LeftOut()
    list(folder_rows(FolderConfig(inputs=(str(tmp_path / "in"),), transcripts=str(named)), left_out))
    assert str(named) in left_out.unread[REASON]


def test_pipe_in_place_of_a_table_a_document_or_an_archive_is_refused(tmp_path: Path, dailytalk: Command) -> None:
    save(tmp_path / "in/call.wav")
    table = pipe(tmp_path / "pairs.csv")
    options = ("--profile", "embedded", "--dry-run", "--out", tmp_path / "out")
    done = dailytalk("tag", tmp_path / "in", "--pairs", table, *options)
    assert done.code == 1
    assert REASON in done.err
    with pytest.raises(BadInput, match=REASON):
        read_json(pipe(tmp_path / "words.json"))
    with pytest.raises(BadInput, match=REASON), open_parquet(pipe(tmp_path / "rows.parquet"), "copy it again"):
        pass
    with pytest.raises(DailytalkError, match="neither a folder nor a zip archive"):
        open_tree(pipe(tmp_path / "corpus.zip"))
    corpus = tmp_path / "corpus"
    pipe(corpus / "clips/1.wav")
    (found,) = open_tree(corpus).files
    assert found.problem is not None
    assert found.problem.reason == REASON
