"""Opening a folder that people correct, by its layout."""

from pathlib import Path

from dailytalk_contiguous.apps.review.clips_lines import ClipsLines, audio_below
from dailytalk_contiguous.apps.review.editable import DISCARDED, Editable, TaggedLines
from dailytalk_contiguous.apps.review.moshi_lines import MANIFESTS, MoshiLines
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.schema import AUDIO_FOLDER
from dailytalk_contiguous.sources import whisper_json
from dailytalk_contiguous.store.work_folder import CLIPS, DATASET, MEASURED, RUN, TAGGED, TRANSCRIPT


def open_editable(folder: Path) -> Editable | None:
    """The editable lines of a folder, or of a whisper.json; None for a place of another kind.

    Raises BadInput for a folder whose links lead out of it, or a JSON whose folder has another one.
    """
    if folder.is_file() and folder.suffix.lower() == ".json":
        meant = whisper_json.clips_folder(folder.parent).json
        if meant is not None and meant != folder:
            raise BadInput(
                f"the texts of {as_text(folder.parent)!r} are those of {meant.name!r}",
                f"move {meant.name!r} elsewhere to edit {folder.name!r}",
            )
        return ClipsLines(folder)
    if not folder.is_dir():
        return None
    if (folder / TRANSCRIPT).is_file():
        return TaggedLines(folder)
    if (folder / "mix.json").is_file():
        return None
    if (folder / MANIFESTS[0]).is_file() or (folder / AUDIO_FOLDER).is_dir():
        return MoshiLines(folder)
    if any((folder / name).exists() for name in (TAGGED, DATASET, CLIPS, MEASURED, RUN)):
        return None
    clips = whisper_json.clips_folder(folder)
    if clips.json is not None or audio_below(clips.audio, skip=DISCARDED):
        return ClipsLines(folder)
    return None
