"""`dailytalk pull` takes what others have published since into a work folder.

Conversations that only they changed are taken as they are published, sound included: nothing is said or bought
again. Lines of those that both sides changed are merged, and `speak` makes the result. The version that was pulled
is then the one that the folder was made from.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from huggingface_hub import HfApi

from dailytalk_contiguous.core.documents import is_number, json_lines, numbered_lines, parse_json, quoted
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.schema import LABELLED, Row, built, digest_column
from dailytalk_contiguous.core.sound_columns import changed_sounds
from dailytalk_contiguous.core.utterance import FIELDS
from dailytalk_contiguous.publish.divergence import REMOVED, Divergence, diverged, version_name
from dailytalk_contiguous.publish.items import MOST_SECONDS, Shards, VersionItems
from dailytalk_contiguous.publish.merged_lines import LinePlace, MergedLines, merge_lines
from dailytalk_contiguous.publish.opening import open_items
from dailytalk_contiguous.publish.outline import write_outline
from dailytalk_contiguous.publish.pushing import MAIN, base_of, published_splits, read_repository
from dailytalk_contiguous.publish.version import Version
from dailytalk_contiguous.run.events import alone
from dailytalk_contiguous.run.outputs import TranscriptLine, edited_since, unedited_lines, wav_path
from dailytalk_contiguous.run.speaking import read_synthesis_input
from dailytalk_contiguous.shards import (
    TAKEN,
    Entry,
    Shard,
    by_generation,
    conversation_key,
    read_rows,
    separate_rows,
    shard_files,
    shard_path,
    taken_path,
    write_shard,
)
from dailytalk_contiguous.sources.inputs import recordings_of_tag
from dailytalk_contiguous.stages.base import digest_of_digests
from dailytalk_contiguous.store.files import inside, is_inside, json_text, write_lines
from dailytalk_contiguous.store.work_folder import (
    AUDIO,
    DATASET,
    TAGGED,
    THEIRS,
    TRANSCRIPT,
    Base,
    read_base,
    write_base,
)

_PUSH_AGAIN = "publish this version again"


@dataclass
class Pulled:
    """What was taken into a work folder.

    Attributes:
        base: the version that the folder was made from before. head: the one that it is made from now.
        taken: conversations whose published row, with its sound, is now that of the folder.
        removed: conversations that they have removed, and that are now removed from the folder.
        to_speak: conversations that both sides changed, whose lines are merged: `dailytalk speak` must make them.
        kept: conversations that both sides changed, and that stay as they are here.
        conflicts: ids of the lines that both changed: ours stay, and theirs are in `transcript.theirs.jsonl`.
        divergence: what both sides had changed.
    """

    base: str
    head: str
    taken: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    to_speak: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)
    divergence: Divergence = field(default_factory=Divergence)

    def as_dict(self) -> dict[str, object]:
        return {
            "base": self.base,
            "head": self.head,
            "taken": self.taken,
            "removed": self.removed,
            "to_speak": self.to_speak,
            "kept": self.kept,
            "conflicts": self.conflicts,
            "divergence": self.divergence.as_dict(),
        }


def pull_version(folder: Path, recordings: Path | None = None, dry_run: bool = False) -> Pulled:
    """Take what others have published since into a work folder.

    Args:
        folder: the work folder, tagged and spoken, with the version that it was made from in base.json.
        recordings: the folder of recordings that are not where `tag` read them.
        dry_run: only say what would be done.

    Raises DailytalkError: the folder is not such a folder, the Hub can't be read, or another run works in it.
    """
    record = read_base(folder)
    items = _own_items(folder)
    if record is None:
        raise DailytalkError(
            f"nothing says which version {str(folder)!r} was made from",
            "see what differs with `dailytalk diff`, and publish it with `dailytalk push --overwrite`",
        )
    repo = record["repository"]
    branch = record.get("branch", MAIN)
    before = read_repository(HfApi(), repo, branch)
    if branch not in before.branches:
        branch = MAIN  # it was merged and deleted
    base = base_of(folder, repo, before, branch)
    if base is None:
        raise DailytalkError(
            f"{repo} no longer has commit {record['commit'][:10]}, which {str(folder)!r} was made from",
            "see what differs with `dailytalk diff`, and publish it with `dailytalk push --overwrite`",
        )
    head = before.head
    with alone(folder, "pull", (1, 1)), TemporaryDirectory() as outline:
        ours = write_outline(items, Path(outline), published_splits(head))
        pull = _Pull(items, base, head, diverged(base, head, ours))
        pulled = pull.plan()
        if not dry_run:
            pull.carry_out(recordings)
            commit = head.commit or record["commit"]
            new_base = Base(repository=repo, tag=head.manifest.get("version"), commit=commit)
            if branch != MAIN:
                new_base["branch"] = branch
            unspoken = sorted({*record.get("unspoken", ()), *pulled.to_speak, *pulled.kept})
            if unspoken and edited_since(folder):
                new_base["unspoken"] = unspoken
            write_base(folder, new_base)
    return pulled


def _own_items(folder: Path) -> Shards:
    """The finished conversations of a work folder. Raises DailytalkError if it can't take in those of others."""
    items = open_items(folder, finished=True)
    if not isinstance(items, Shards) or items.labelled or not (folder / TRANSCRIPT).is_file():
        raise DailytalkError(
            f"{folder} is no work folder of tagged and spoken conversations",
            "name the folder of `dailytalk tag` and `dailytalk speak`",
        )
    if items.run.get("streaming"):
        raise DailytalkError(
            f"{folder} was streamed: it keeps no recordings, so its conversations can't be made again",
            "stream the newer version into a new folder",
        )
    return items


class _Pull:
    """One pull: `plan` says what is to be done, `carry_out` does it.

    The transcript is written before the rows, and base.json last: after a stop, the same command completes it.
    """

    def __init__(self, items: Shards, base: Version, head: Version, divergence: Divergence) -> None:
        self._items = items
        self._folder = items.where
        self._head = VersionItems(head)
        self._divergence = divergence
        self._pulled = Pulled(version_name(base), version_name(head), divergence=divergence)
        self._merged = self._merged_with(base)

    def _merged_with(self, base: Version) -> dict[str, MergedLines]:
        """Merge the lines of each conversation that they have changed since `base`."""
        names = list(self._divergence.theirs)
        if not names:
            return {}
        our_lines = _lines_of(self._folder, names)
        recordings = _recordings_of(self._folder)
        unedited = unedited_lines(self._folder)
        base_rows = _rows_of(VersionItems(base), names)
        head_rows = _rows_of(self._head, names)
        merged_by_name: dict[str, MergedLines] = {}
        for name in names:
            lines = our_lines[name]
            base_row = base_rows.get(name)
            head_row = head_rows.get(name)
            recording = recordings.get(name) or _named_recording(name, lines, head_row)
            merged = merge_lines(name, lines, base_row, head_row, recording, unedited)
            lacks_row = head_row is None or (name not in self._items.places and not lines)
            if lacks_row and not self._is_theirs_alone(name, merged):  # removed on one side, changed on the other
                merged = MergedLines(lines, merged.conflicts, is_theirs=False)
            merged_by_name[name] = merged
        return merged_by_name

    def _is_theirs_alone(self, name: str, merged: MergedLines) -> bool:
        """Whether neither the finished row nor a line of a conversation that they changed was changed here."""
        return merged.is_theirs and name not in self._divergence.ours

    def plan(self) -> Pulled:
        """Say what becomes of each conversation that they have changed."""
        pulled = self._pulled
        for name, change in self._divergence.theirs.items():
            merged = self._merged[name]
            is_theirs_alone = self._is_theirs_alone(name, merged)
            if change.kind == REMOVED and is_theirs_alone:
                pulled.removed.append(name)
            elif change.kind == REMOVED:
                pulled.kept.append(name)
            elif is_theirs_alone:
                _check_name(self._folder, name)
                pulled.taken.append(name)
            elif merged.is_changed:
                pulled.to_speak.append(name)
            elif name in self._divergence.reverted:
                pulled.kept.append(name)
            pulled.conflicts += [str(line["utterance_id"]) for line in merged.conflicts]
        return pulled

    def carry_out(self, recordings: Path | None) -> None:
        if self._merged:
            write_lines(self._folder / TRANSCRIPT, self._new_lines())
        conflicts = [line for merged in self._merged.values() for line in merged.conflicts]
        if conflicts:
            write_lines(self._folder / THEIRS, map(json_text, [*self._earlier_conflicts(), *conflicts]))
        if self._pulled.taken:
            self._take_rows(recordings)
        if self._pulled.removed:
            _drop_rows(self._folder / DATASET, {*self._pulled.removed})

    def _earlier_conflicts(self) -> Iterator[TranscriptLine]:
        """Lines of earlier pulls that nobody has published since, except those that this one replaces."""
        path = inside(self._folder, THEIRS)
        if not path.exists():
            return
        replaced = {*self._pulled.conflicts}
        for _, line in json_lines(path):
            if isinstance(line, dict) and line.get("utterance_id") not in replaced:
                yield line

    def _new_lines(self) -> Iterator[str]:
        """The transcript with the merged lines of a conversation where its first line was; new ones at the end."""
        unwritten = {name: merged.lines for name, merged in self._merged.items()}
        number = 0
        for text, line in _lines_in(self._folder):
            if line is None:
                yield text if text.endswith("\n") else f"{text}\n"
                continue
            name = _conversation_of(line)
            lines = [line]
            if name in self._merged:
                lines = unwritten.pop(name, [])  # all at its first line, none at the others
            for merged_line in lines:
                yield json_text(merged_line | {"segment_id": number})
                number += 1
        for lines in unwritten.values():
            for new_line in lines:
                yield json_text(new_line | {"segment_id": number})
                number += 1

    def _take_rows(self, recordings: Path | None) -> None:
        """Write the published rows as finished ones, under the keys for which `speak` would look for them."""
        folder = self._folder
        names = {*self._pulled.taken}
        moved, _ = recordings_of_tag(folder, recordings)
        script = read_synthesis_input(folder, recordings=moved)
        inputs = {row["conversation_id"]: row for row in script.rows if row["conversation_id"] in names}
        spoken = self._items.run.get("speak") or {}
        made_by = digest_of_digests(stage["digest"] for stage in spoken.get("stages") or ())
        features = built((*FIELDS, *self._items.fields))
        generations = _generations(folder / DATASET)
        places = sorted(self._head.place_of(name) for name in names)
        for row in self._head.rows_at(places, [*LABELLED, *self._head.digested_columns]):
            name = row["conversation_id"]
            finished = finished_row(row)
            if name in inputs:
                key = conversation_key(inputs[name], made_by)
                path = shard_path(folder / DATASET, [inputs[name]], made_by)
            else:
                key = TAKEN
                path = taken_path(folder / DATASET, name)
            entry = Entry(row["recording_id"], row["duration"], key=key)
            shard = Shard([finished], {name: entry}, generations.get(name, -1) + 1)
            write_shard(path, shard, features)


def finished_row(row: Row) -> Row:
    """Return a row that was published as the row of a work folder that it was.

    `row` has its sound, and the digests of that. Raises DailytalkError if it can't be used, or its sound is
    changed.
    """
    name = row["conversation_id"]
    if row["problem"]:
        raise DailytalkError(f"the published conversation {name!r} can't be used: {row['problem']}", _PUSH_AGAIN)
    for column in changed_sounds(row):
        raise DailytalkError(f"the {column} of {name!r} is not that of its {digest_column(column)}", _PUSH_AGAIN)
    published = json.loads(row["provenance"] or "{}")
    models: dict[str, Any] = {}
    for model in published.get("models") or ():
        models[model["role"]] = {key: model[key] for key in ("name", "licence", "url")}
    provenance: dict[str, Any] = {"tool": published.get("tool"), "voice": published.get("voice"), "models": models}
    if published.get("settings") is not None:
        provenance["settings"] = json.loads(published["settings"])
    provenance_text = json.dumps(provenance, sort_keys=True, ensure_ascii=False)
    return row | {"audio": dict(row["audio"]), "provenance": provenance_text}


def _rows_of(items: VersionItems, names: Sequence[str]) -> dict[str, Row]:
    """The conversations of a version that are among `names`, without their sound."""
    places = sorted(items.places[name] for name in names if name in items.places)
    rows: dict[str, Row] = {}
    for row in items.rows_at(places, ["recording_id", "utterances"]):
        name = row["conversation_id"]
        for utterance in row["utterances"] or ():
            _check_utterance(utterance, name)
        rows[name] = row
    return rows


def _check_utterance(utterance: Mapping[str, object] | None, name: str) -> None:
    """Raise DailytalkError for a published utterance that no line of a transcript can be made of."""
    if utterance and not isinstance(utterance.get("utterance_id"), str):
        raise DailytalkError(f"an utterance of the published conversation {name!r} has no id", _PUSH_AGAIN)
    for edge in ("source_start", "source_end"):
        if utterance is None or not is_number(utterance.get(edge), -MOST_SECONDS, MOST_SECONDS):
            raise DailytalkError(
                f"an utterance of the published conversation {name!r} has no {edge} in its recording", _PUSH_AGAIN
            )


def _lines_in(folder: Path) -> Iterator[tuple[str, TranscriptLine | None]]:
    """The lines of a transcript as they are, each with its object; None for one that can't be read."""
    for _, content in numbered_lines(inside(folder, TRANSCRIPT)):
        text = content.decode("utf-8", "replace")
        try:
            line = parse_json(content, "", nan=True)
        except BadInput:
            line = None
        yield text, line if isinstance(line, dict) else None


def _conversation_of(line: TranscriptLine) -> str:
    """The conversation of a line; one that a person has added may lack it."""
    name = line.get("conversation_id")
    if not name:
        name = str(line.get("utterance_id") or "").rpartition("/")[0].rpartition("/")[0]
    return str(name)


def _lines_of(folder: Path, names: Iterable[str]) -> dict[str, list[TranscriptLine]]:
    """The lines of some conversations."""
    lines: dict[str, list[TranscriptLine]] = {name: [] for name in names}
    if lines:
        for _, line in _lines_in(folder):
            if line is None or _conversation_of(line) not in lines:
                continue
            has_times = is_number(line.get("start")) and is_number(line.get("end"))
            if not has_times or not isinstance(line.get("channel"), str):
                raise DailytalkError(
                    f"a line of {_conversation_of(line)!r} in {TRANSCRIPT} has no channel, start and end "
                    f"({quoted(json_text(line))})",
                    "correct or remove the line",
                )
            lines[_conversation_of(line)].append(line)
    return lines


def _recordings_of(folder: Path) -> dict[str, LinePlace]:
    """The recording of each tagged conversation."""
    recordings: dict[str, LinePlace] = {}
    for path, _ in by_generation(shard_files(folder / TAGGED)):
        for name, row in read_rows(path, ["audio_file", "offset"]).items():
            recordings[name] = LinePlace(row["audio_file"], row["offset"])
    return recordings


def _named_recording(name: str, lines: Sequence[TranscriptLine], row: Row | None) -> LinePlace:
    """The recording of a conversation that was not tagged here, by its lines or its published row."""
    if lines:
        return LinePlace(str(lines[0]["audio_file"]), 0.0)
    recording_id = row["recording_id"] if row else name
    return LinePlace(f"{recording_id}.wav", 0.0)


def _check_name(folder: Path, name: str) -> None:
    """Raise DailytalkError for a published conversation whose sound file would be outside of the work folder."""
    if not is_inside(wav_path(folder, name), folder / AUDIO):
        raise DailytalkError(
            f"the published conversation {quoted(name)} names a file outside of the work folder", _PUSH_AGAIN
        )


def _generations(folder: Path) -> dict[str, int]:
    """The highest generation of each conversation in the shards of a folder."""
    generations: dict[str, int] = {}
    for _, shard in by_generation(shard_files(folder)):
        generations |= dict.fromkeys(shard.entries, shard.generation)
    return generations


def _drop_rows(folder: Path, names: Collection[str]) -> None:
    """Remove conversations from the shards of a folder."""
    for path, shard in by_generation(shard_files(folder)):
        if not shard.entries.keys() & names:
            continue
        others = [name for name, entry in shard.entries.items() if name not in names and not entry.reject]
        if others:
            separate_rows(path, others)
        else:
            path.unlink()
