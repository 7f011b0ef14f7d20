"""`dailytalk converse`: a spoken conversation that hears how you feel, kept as training data."""

import select
import sys
import threading
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from dailytalk_contiguous.apps.converse.sound_blocks import (
    DeviceBlocks,
    FileBlocks,
    Loudspeaker,
    SoundBlocks,
    sound_devices,
)
from dailytalk_contiguous.apps.converse.talk import Talk, run_talk
from dailytalk_contiguous.apps.converse.talk_record import TalkRecord
from dailytalk_contiguous.apps.converse.talk_screen import TalkScreen, latency_text, median_steps
from dailytalk_contiguous.apps.converse.talk_setup import (
    TalkModels,
    about_talk,
    open_parts,
    open_voice,
    read_instructions,
    remember_consent,
)
from dailytalk_contiguous.cli.options import (
    chosen,
    on_this_machine,
    profile_option,
    setting_options,
    with_options,
)
from dailytalk_contiguous.cli.terminal import (
    AsJsonOption,
    Console,
    HelpPanel,
    option,
    print_json,
    say,
    visible,
)
from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.dialogue import TurnRules
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.settings import with_settings
from dailytalk_contiguous.core.wording import counted, length_text
from dailytalk_contiguous.models.chat import ChatSettings
from dailytalk_contiguous.models.profiles import STANDARD

#: Options of all that a talk is made of.
CONVERSE_SETTINGS = setting_options(TalkModels(), ChatSettings(), TurnRules())


@with_options(CONVERSE_SETTINGS)
def converse(
    profile: Annotated[str, profile_option()] = STANDARD,
    input: Annotated[
        list[Path] | None,
        option(
            HelpPanel.INPUT,
            "A sound file in place of the microphone; of several, each waits for its answer.",
            "--input",
            metavar="FILE",
        ),
    ] = None,
    out: Annotated[Path, option(HelpPanel.INPUT, "Folder in which talks are kept.", metavar="DIR")] = Path(
        "talks"
    ),
    no_save: Annotated[bool, option(HelpPanel.INPUT, "Keep nothing of the talk.", "--no-save")] = False,
    system: Annotated[
        Path | None,
        option(
            HelpPanel.MODELS, "File with instructions for the chat model.", metavar="FILE", show_default="ours"
        ),
    ] = None,
    sound_device: Annotated[
        str,
        option(
            HelpPanel.INPUT,
            "Microphone and loudspeaker, by name or number (see --sound-devices).",
            metavar="NAME",
            show_default="the system's",
        ),
    ] = "",
    list_devices: Annotated[
        bool, option(HelpPanel.INPUT, "List microphones and loudspeakers, and end.", "--sound-devices")
    ] = False,
    headphones: Annotated[
        bool,
        option(
            HelpPanel.RUN,
            "You wear headphones: the microphone stays open while the voice speaks.",
            "--headphones",
        ),
    ] = False,
    push_to_talk: Annotated[
        bool, option(HelpPanel.RUN, "Enter begins and ends what you say.", "--push-to-talk")
    ] = False,
    play: Annotated[bool, option(HelpPanel.RUN, "With --input: play the voice, too.", "--play")] = False,
    consent: Annotated[
        bool,
        option(HelpPanel.VOICE, "The speaker of clone:FILE has agreed; nobody is asked.", "--consent"),
    ] = False,
    as_json: AsJsonOption = False,
    **options: Any,
) -> None:
    """Talk with this machine: it hears words and emotion, answers, and speaks.

    Each talk is kept as stereo sound with its words, the voice on the left and you on the right, ready for `check`
    and `export`. Type clear and Enter to start afresh; Ctrl-C ends the talk. An emotion is a guess from sound, and
    no diagnosis. Nothing leaves this machine unless you name a service.
    """
    if list_devices:
        devices = sound_devices()
        for line in devices:
            say(line)
        if not devices:
            say("no sound device is there", stderr=True)
        raise typer.Exit(0 if devices else 1)
    on_this_machine("--out", out)
    given = chosen(options, CONVERSE_SETTINGS)
    (models,), (chat,), (rules,) = (
        with_settings((TalkModels(),), given),
        with_settings((ChatSettings(),), given),
        with_settings((TurnRules(),), given),
    )
    if push_to_talk and input:
        raise DailytalkError("--push-to-talk does not go with --input", "leave one of them out")
    folder = None if no_save else out
    console = Console(stderr=as_json)
    instructions = read_instructions(system)
    voice = open_voice(models, profile, folder, lambda question: consent or _asked(question))
    notices: list[str] = []
    talks: list[Talk] = []

    def tell(sentence: str) -> None:
        if talks:
            talks[0].notice(sentence)
        else:
            notices.append(sentence)

    def answered() -> bool:
        return bool(talks) and talks[0].idle

    blocks: SoundBlocks
    if input:
        blocks = FileBlocks(input, answered, play=Loudspeaker(sound_device) if play else None)
    else:
        blocks = DeviceBlocks(sound_device, tell)
    closes = blocks.echoes and not headphones and not push_to_talk
    parts = open_parts(models, chat, rules, profile, voice, instructions, push_to_talk, closes)
    record = None
    if folder is not None:
        name = datetime.now().strftime("talk-%Y%m%d-%H%M%S")
        about = about_talk(models, parts, profile, voice)
        record = TalkRecord(folder, name, about, blocks.lag)
        remember_consent(folder, voice)
    _introduce(console, parts.chat.service, voice.service, blocks.name, closes, push_to_talk)
    with TalkScreen(console) as screen:
        talk = Talk(parts, blocks, screen.show, record)
        talks.append(talk)
        for sentence in notices:
            talk.notice(sentence)
        _obey_lines(talk, push_to_talk)
        stopped = False
        try:
            run_talk(talk, blocks)
        except KeyboardInterrupt:
            stopped = True  # how a talk ends
    if stopped:
        interrupts.answered()
    _conclude(console, talk, record, as_json)


def _introduce(
    console: Console, chat: str, speech: str, microphone: str, closes: bool, push_to_talk: bool
) -> None:
    services = sorted({*filter(None, (chat, speech))})
    if services:
        console.labelled(
            "note", f"what you say goes to {' and '.join(services)}; nothing else leaves this machine"
        )
    else:
        console.labelled("note", "nothing leaves this machine")
    console.labelled("note", "an emotion is a guess from sound, and no diagnosis")
    if closes:
        console.labelled(
            "note", "the microphone is closed while the voice speaks; with --headphones you may speak over it"
        )
    if push_to_talk:
        console.labelled("note", "press Enter, speak, and press Enter again")
    console.labelled("microphone", microphone)


def _conclude(console: Console, talk: Talk, record: TalkRecord | None, as_json: bool) -> None:
    medians = median_steps(talk.latencies)
    path = record and (record.folder / f"{record.name}.wav")
    kept = str(path) if path and path.exists() else None
    if as_json:
        told = {"talk": kept, "seconds": round(talk.time, 3), "replies": len(talk.latencies)}
        print_json(told | {"median_seconds_after_speech": medians})
        return
    console.labelled("talked", f"{length_text(talk.time)}, {counted(len(talk.latencies), 'answer')}")
    if medians:
        console.labelled("medians", latency_text(medians))
    console.labelled("kept", visible(kept) if kept else "nothing")


def _asked(question: str) -> bool:
    if not sys.stdin.isatty():
        return False
    return typer.confirm(visible(question), default=False)


def _obey_lines(talk: Talk, push_to_talk: bool) -> None:
    """Read lines of the terminal, in a thread: `clear`, and Enter for push-to-talk."""
    if not (push_to_talk or sys.stdin.isatty()):
        return

    def read() -> None:
        while True:
            try:
                ready, _, _ = select.select([sys.stdin], [], [], 0.5)
                line = sys.stdin.readline() if ready else None
            except (OSError, ValueError):
                return
            if line == "":
                return
            if line is None:
                continue
            if line.strip().lower() == "clear":
                talk.clear()
            elif not line.strip():
                talk.press()
            else:
                talk.notice("type clear to start afresh, or end with Ctrl-C")

    threading.Thread(target=read, name="lines", daemon=True).start()
