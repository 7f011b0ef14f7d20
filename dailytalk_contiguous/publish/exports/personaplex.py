"""The training folder of moondogo's personaplex-finetune: Moshi's folder, with prompts in its manifests.

Three facts of the trainer's source decide the layout. It looks prompts up by the absolute path that sphn returns,
and trains without those of any other path. It reads a text prompt only beside a voice prompt. And both take a part
of a window, which is missing at its end.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dailytalk_contiguous.core.spans import total_seconds
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.core.words.word import Span
from dailytalk_contiguous.publish.exports import exporting, moshi_folder, prompts
from dailytalk_contiguous.publish.exports.moshi_check import check_moshi
from dailytalk_contiguous.publish.exports.moshi_config import Trainer
from dailytalk_contiguous.publish.items import EVAL, TRAIN
from dailytalk_contiguous.store.files import file_name

PERSONAPLEX_FINETUNE = Trainer("personaplex-finetune.yaml", window=164, batch=32, prompts="voice_prompts")


@dataclass(frozen=True)
class PersonaplexSettings(prompts.PersonaSettings, moshi_folder.WordSettings):
    """The options of PersonaPlex, which has no conditions of style."""


class _Prompted(NamedTuple):
    """A conversation: its facts for the check, its voice, the spans of the prompt that it offers, its text."""

    about: dict[str, Any]
    voice: str
    offer: list[Span]
    text: str | None


def write_personaplex(export: exporting.Export, item: exporting.SeenTalk) -> list[exporting.FileEntry]:
    """Write the files of Moshi's trainer, and the voice prompt that the conversation offers."""
    entries = moshi_folder.write_moshi(export, item)
    talk = item.talk
    voice, offer = prompts.voice_prompt(item)
    if offer:
        parts = [item.sound(span, "left") for span in offer]
        export.target.write_wav(_sound_of(talk.conversation_id), np.concatenate(parts), talk.sample_rate)
    text = prompts.text_prompt(export, item)
    export.about[talk.conversation_id] = _Prompted(export.about[talk.conversation_id], voice, offer, text)
    return entries


def _sound_of(name: str) -> str:
    """Return the path of the voice prompt that a conversation offers."""
    return f"{PERSONAPLEX_FINETUNE.prompts}/{file_name(name)}.wav"


def finish_personaplex(export: exporting.Export, lists: exporting.Lists) -> Mapping[str, exporting.FileText]:
    """Return Moshi's files, with the prompts of a conversation in its lines."""
    prompts.note_personas(export)
    prompted: dict[str, _Prompted] = export.about
    voices = {name: talk.voice for name, talk in prompted.items() if talk.voice}
    offers = {name for name, talk in prompted.items() if talk.offer}
    sources = prompts.prompt_sources(voices, offers, export.side)
    export.target.remove(_sound_of(name) for name in offers - {*sources.values()})
    root = export.target.root.resolve()
    n_long = 0
    longest = 0.0
    for name, talk in prompted.items():
        fields: dict[str, str] = {}
        prompt_seconds = 0.0
        if talk.text:
            fields["text_prompt"] = f"{prompts.SYSTEM} {talk.text} {prompts.SYSTEM}"
        if name in sources:
            source = sources[name]
            offer = prompted[source].offer
            fields["voice_prompt"] = f"{file_name(source)}.wav"
            talk.about["voice_prompt"] = {"of": source, "stretches": offer}
            # Silence follows each, and a token of text has 80 ms and three characters or more.
            silence = 2 * 0.5
            characters = len(talk.text or "")
            prompt_seconds = total_seconds(offer) + silence + 0.08 / 3 * characters
        longest = max(longest, prompt_seconds)
        for entry in export.entries[name]:
            entry.line.update(fields)
            entry.line["path"] = str(root / entry.line["path"])
            if prompt_seconds and entry.seconds + prompt_seconds > PERSONAPLEX_FINETUNE.window:
                n_long += 1
    export.about = {name: talk.about for name, talk in prompted.items()}
    texts = {name for name, talk in prompted.items() if talk.text}
    total = len(prompted)
    export.facts["prompts"] = {"voice": len(sources), "text": len(texts), "conversations": total}
    export.notes.append(f"voice prompts for {len(sources)} and text prompts for {len(texts)} of {total}")
    missing = {
        "with an agent who is not known (dailytalk tag --speakers names people)": total - len(voices),
        f"with a voice of which no other one has {prompts.SHORTEST_PROMPT:g} s alone": len(voices) - len(sources),
        "whose text prompt is not read, for want of a voice prompt": len(texts - sources.keys()),
    }
    export.left_out += Counter({f"prompts of conversations {reason}": missing[reason] for reason in missing})
    if n_long:
        export.notes.append(f"{counted(n_long, 'file')} too long for a window with prompts (see --max-length)")
    return moshi_folder.finish_moshi(export, lists, PERSONAPLEX_FINETUNE, longest)


def prepare_personaplex(out: Path, settings: PersonaplexSettings) -> prompts.Personas:
    moshi_folder.refuse_path(out, settings)
    return prompts.read_personas(out, settings)


PERSONAPLEX = replace(
    moshi_folder.MOSHI,
    name="personaplex",
    reader="personaplex-finetune (moondogo), for NVIDIA's PersonaPlex",
    holds="as moshi; a voice prompt from another conversation, and a text prompt from --persona",
    loses="as moshi",
    checked="sphn, and a reader written from its source",
    write=write_personaplex,
    finish=finish_personaplex,
    manifests=(TRAIN, EVAL, PERSONAPLEX_FINETUNE.config),
    settings=PersonaplexSettings(),
    prepare=prepare_personaplex,
    recognises=lambda folder: (folder / PERSONAPLEX_FINETUNE.config).is_file(),
    # A person may edit the folder as one of Moshi's; the prompts are as the export has made them.
    check=partial(check_moshi, trainer=PERSONAPLEX_FINETUNE),
)
