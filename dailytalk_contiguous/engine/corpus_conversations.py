"""DailyTalk's dialogues as a folder that `dailytalk tag` reads: a stereo WAV each, and its transcript beside it.

The transcript is one that tagging knows; the emotion, act and topic of each turn stand in it too, so that what
the corpus itself says can be compared with what was rated.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import DailytalkError, Reject
from dailytalk_contiguous.engine.outputs import ABOUT_CORPUS, REJECTS
from dailytalk_contiguous.files.owned_folder import OwnedFolder
from dailytalk_contiguous.files.writing import json_text
from dailytalk_contiguous.sources.corpora.registry import corpus_info, corpus_rows, count_check

#: Corpora that can be laid out, and the source of their conversations.
LAID_OUT = {"dailytalk": "dailytalk_conversations"}

#: What is known of the corpus, in the folder; not a transcript's name.
ABOUT = ABOUT_CORPUS


@dataclass(frozen=True)
class LaidOut:
    """What was written: conversations, rejects, and the count check."""

    conversations: int
    rejects: list[Reject]
    counts: list[str]


def lay_out(name: str, source: Path, out: Path, seed: int = 0, follow_links: bool = False) -> LaidOut:
    """Write the conversations of a corpus into the folder `out`; the same source and seed give the same bytes.

    Raises DailytalkError for a corpus without dialogues in turns, and if `out` is not ours.
    """
    if name not in LAID_OUT:
        raise DailytalkError(f"the clips of {name} make no conversations", f"this is for {', '.join(LAID_OUT)}")
    if out.resolve().is_relative_to(source.resolve()):
        raise DailytalkError(f"--out {as_text(out)!r} lies in the corpus", "choose a folder outside of it")
    target = OwnedFolder(out, "conversations", (ABOUT, REJECTS))
    rejects: list[Reject] = []
    counted = []
    for row in corpus_rows(LAID_OUT[name], source, seed=seed, follow_links=follow_links):
        counted.append(row | {"audio": None})
        if row["problem"]:
            rejects.append(Reject(row["conversation_id"], "Corpus", row["problem"], row["remedy"]))
            continue
        stem, encoded = Path(row["audio_file"]).stem, row["audio"]["bytes"]
        turns = [cue | said for cue, said in zip(row["given"], row["said"], strict=True)]
        for turn in turns:
            del turn["words"]
        target.write(f"{stem}.wav", lambda file, data=encoded: _put(file, data))  # type: ignore[misc]
        target.write_text(f"{stem}.json", json_text({"utterances": turns}))
    info, counts = corpus_info(name), count_check(LAID_OUT[name], counted)
    about = {"name": name, "licence": info.license, "citation": info.citation, "homepage": info.homepage}
    about |= {"seed": seed, "count_check": counts}
    lines = [json.dumps(reject.as_dict(), ensure_ascii=False) + "\n" for reject in rejects]
    target.finish({REJECTS: "".join(lines), ABOUT: json.dumps(about, ensure_ascii=False, indent=1) + "\n"})
    return LaidOut(len(counted) - len(rejects), rejects, counts)


def _put(file: BinaryIO, data: bytes) -> None:
    file.write(data)
