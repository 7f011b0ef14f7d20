"""Options that several commands have, and the folders and addresses they name."""

import inspect
import re
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import wraps
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Self, TypeAlias, TypeVar, get_type_hints

import typer

from dailytalk_contiguous.cli.terminal import Panel, option
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import BadValue, DailytalkError
from dailytalk_contiguous.core.settings import SEED, PlacedSetting, Setting, check_value, is_own_file, settings_in
from dailytalk_contiguous.machine.own_file import from_own_file
from dailytalk_contiguous.models.devices import DEVICES
from dailytalk_contiguous.models.engines import engine_named
from dailytalk_contiguous.models.profiles import EMBEDDED, PROFILES, STANDARD
from dailytalk_contiguous.stages.base import DEVICE, Stage, Stages
from dailytalk_contiguous.store.addresses import is_address

#: The default of an option for a setting: the profile or the stage decides its value.
NOT_GIVEN: Final = object()

#: Seconds of each unit that a time may have on the command line.
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}

#: The metavar of a time.
TIME = "TIME"

#: Types of settings that are numbers, and the number that is read for each.
_NUMBERS: dict[object, Callable[[str], int | float]] = {
    int: int,
    int | None: int,
    float: float,
    float | None: float,
}

#: The values of a command's options, by name.
OptionValues: TypeAlias = Mapping[str, Any]

#: Values of settings of stages, by the names of their options.
SettingValues: TypeAlias = dict[str, Any]

_Command = TypeVar("_Command", bound=Callable[..., object])

#: Returns the dataclasses whose fields are the settings of a person's own file.
HoldersOf: TypeAlias = Callable[[str], Sequence[object]]


def time_of(words: Mapping[str, object], needs_unit: bool = True) -> Callable[[object], object]:
    """Return a parser of times: `15m`, `900s`, `1.5 h`, `300ms` in seconds. Defaults, which are floats, stay.

    The parser raises typer.BadParameter.

    Args:
        words: words in place of a time, such as `never`, and the value of each.
        needs_unit: whether a number alone is refused, except 0, because 15 may mean minutes or seconds; else it is
            seconds.

    >>> time_of({"never": 0.0})("1.5m")
    90.0
    """

    def parse(text: object) -> object:
        if not isinstance(text, str):
            return text
        bare = text.strip().lower()
        if bare in words:
            return words[bare]
        match = re.fullmatch(r"(\d+\.?\d*|\.\d+)\s*(ms|s|m|h|)", bare, re.ASCII)
        if match is None or (needs_unit and not match[2] and float(match[1])):
            raise typer.BadParameter(f"{text!r} is not {either(['a time such as 15m, 90s or 1h', *words])}")
        unit = match[2] or "s"
        return float(match[1]) * UNITS[unit]

    return parse


def time_text(seconds: float) -> str:
    """Return a time as an option takes it: `15m`, `3s`.

    >>> time_text(900.0), time_text(0.8), time_text(0.0)
    ('15m', '0.8s', '0')
    """
    if seconds >= 60 and not seconds % 60:
        return f"{seconds / 60:g}m"
    if seconds:
        return f"{seconds:g}s"
    return "0"


def on_this_machine(flag: str, path: Path | None) -> None:
    """Raise BadValue for an address in a store or on the Web: the command writes to a local disk only."""
    if path is not None and is_address(path):
        raise BadValue(f"{flag} can't be {str(path)!r}", "name a folder of this machine, and copy it after")


def size_text(count: float) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:.0f} bytes"


def load_stages(files: Iterable[Path]) -> Stages:
    """Load the stages that a person's own files define: each has a list `STAGES`.

    Raises DailytalkError for a file that is missing, can't be run, or has no such list.
    """
    example = "STAGES = (MyStage(),)"
    stages: list[Stage] = []
    for file in files:
        stages += from_own_file("--stage", file, "STAGES", tuple | list, example)
    for stage in stages:
        if not isinstance(stage, Stage):
            raise DailytalkError("--stage lists something that is not a stage", f"end it with {example}")
        if not is_dataclass(stage):
            raise DailytalkError(
                f"the stage {stage.name} is not a dataclass", "write @dataclass(frozen=True) above it"
            )
    return tuple(stages)


#: Options that name a person's own file, and what reads the file's settings.
STAGE_FILES: Mapping[str, HoldersOf] = {"stage": lambda file: load_stages([Path(file)])}
VOICE_FILES: Mapping[str, HoldersOf] = {"tts": lambda file: [engine_named(file).options]}


def setting_options(*holders: object) -> dict[str, inspect.Parameter]:
    """Return a parameter of a command for each setting of stages and other dataclasses, once each, by its name.

    Its value is `NOT_GIVEN`, or a value of the setting's type. Of settings of one name, that with the most choices
    counts: a stage may not know all of them.
    """
    settings: dict[str, PlacedSetting] = {}
    for placed in settings_in(*holders):
        widest = settings.get(placed.option)
        is_wider = widest is None or len(placed.setting.choices) > len(widest.setting.choices)
        if placed.is_option and is_wider:
            settings[placed.option] = placed
    return {name: _parameter(placed) for name, placed in settings.items()}


def _hint_of(placed: PlacedSetting) -> object:
    """The type of a setting; of one whose annotation can't be read that of its default."""
    try:
        return get_type_hints(placed.kind)[placed.name]
    except (NameError, TypeError):
        return type(placed.value)


def _parameter(placed: PlacedSetting, panel: Panel | None = None) -> inspect.Parameter:
    """The option of a setting, in the setting's own panel unless another is given."""
    setting = placed.setting
    flag = "--" + placed.option.replace("_", "-")
    panel = panel or Panel[setting.panel.upper()]
    hint = _hint_of(placed)
    about = setting.about
    if setting.choices:
        about = about.replace("{choices}", either(setting.choices))
    kind: object = Any
    if hint is bool and placed.value is True:
        kind = bool
        names = f"{flag}/--no-{flag.removeprefix('--')}"
        default = option(True, panel, about, names, hidden=setting.hidden)
    elif hint is bool:
        kind = bool
        default = option(False, panel, about, flag, hidden=setting.hidden)
    elif hint == tuple[tuple[str, str], ...]:
        kind = list[Any]
        default = option(
            [],
            panel,
            about,
            metavar=setting.metavar,
            parser=pair_of,
            show_default=False,
            hidden=setting.hidden,
        )
    else:
        metavar = setting.metavar
        if not metavar and setting.unit:
            metavar = TIME
        elif not metavar:
            metavar = "N" if hint in _NUMBERS else "NAME"
        default = option(
            NOT_GIVEN,
            panel,
            about,
            metavar=metavar,
            parser=value_of(setting, hint, flag),
            show_default=_shown_default(placed),
            hidden=setting.hidden,
        )
    return inspect.Parameter(placed.option, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)


def _shown_default(placed: PlacedSetting) -> str | bool:
    """The default of a setting as the help shows it; False if it shows none."""
    setting = placed.setting
    value = placed.value
    words = {meant: word for word, meant in setting.words.items()}
    word = words.get(value)
    if setting.shown or word:
        return setting.shown or word or False
    if value in (None, ()):
        return False
    return time_text(value) if setting.unit else str(value) or False


@dataclass(frozen=True, kw_only=True)
class CommandOptions:
    """The options of a command, each a field whose default is an option of typer."""

    @classmethod
    def parameters(cls) -> dict[str, inspect.Parameter]:
        """Return a parameter of the command for each field, by its name."""
        hints = get_type_hints(cls)
        keyword_only = inspect.Parameter.KEYWORD_ONLY
        parameters = {}
        for field in fields(cls):
            parameters[field.name] = inspect.Parameter(
                field.name, keyword_only, default=field.default, annotation=hints[field.name]
            )
        return parameters

    @classmethod
    def among(cls, values: OptionValues) -> Self:
        """Return the options among the values of a command."""
        return cls(**{field.name: values[field.name] for field in fields(cls)})


def with_options(
    settings: Mapping[str, inspect.Parameter],
    files: Mapping[str, HoldersOf] = {},
    everyday: Collection[str] = (),
) -> Callable[[_Command], _Command]:
    """Decorate a command with an option for each setting (see `setting_options`), in place of its `**options`.

    Args:
        settings: by their names.
        files: by the options that may name a person's own file, what returns the dataclasses of its settings. Such
            a file adds options to the command (`with_own_options`), whose values are the command's option `own`.
        everyday: the options that `--help` shows, which leaves the others to `--help-all`; empty to choose them by
            their panels.
    """

    def add(command: _Command) -> _Command:
        parameters: dict[str, inspect.Parameter] = {}
        for name, parameter in inspect.signature(command, eval_str=True).parameters.items():
            if parameter.kind != parameter.VAR_KEYWORD:
                parameters[name] = parameter
        parameters |= settings
        keyword_only = inspect.Parameter.KEYWORD_ONLY
        keywords = [parameter.replace(kind=keyword_only) for parameter in parameters.values()]
        command.__signature__ = inspect.Signature(keywords)  # type: ignore[attr-defined]
        command.__annotations__ = {name: parameter.annotation for name, parameter in parameters.items()}
        command.own_files = files  # type: ignore[attr-defined]
        command.everyday = everyday  # type: ignore[attr-defined]
        return command

    return add


#: Names of options that every command has.
_EVERYWHERE = ("help", "help_all", "json", "verbose", "insecure", "version")


def with_own_options(command: Callable[..., object], name: str, words: Sequence[str]) -> Callable[..., object]:
    """Return a command that also has the settings of the own files that its command line names as options.

    Args:
        command: decorated by `with_options`; one that takes no own file is returned as it is.
        name: of the command, for messages.
        words: its command line, after the name.

    Raises DailytalkError as `from_own_file` does, and for a setting that has the name of another option.
    """
    files: Mapping[str, HoldersOf] = getattr(command, "own_files", {})
    parameters = dict(inspect.signature(command).parameters)
    added: dict[str, inspect.Parameter] = {}
    file_of: dict[str, str] = {}
    for option_name, file in _named_files(words, files):
        for parameter in _own_parameters(file, files[option_name](file)):
            other = parameters.get(parameter.name)
            if other is not None or parameter.name in _EVERYWHERE:
                _refuse_clash(parameter, other, file, name)
            elif parameter.default.default is True and f"no_{parameter.name}" in parameters:
                _refuse_clash(parameter, parameters[f"no_{parameter.name}"], file, name)
            elif parameter.name in added:
                added[parameter.name] = _ambiguous(parameter, file_of[parameter.name], file)
            else:
                added[parameter.name] = parameter
                file_of[parameter.name] = file
    if not added:
        return command

    @wraps(command)
    def run(**values: object) -> object:
        own_values = {}
        for option_name, parameter in added.items():
            value = values.pop(option_name)
            if value is not NOT_GIVEN and value != parameter.default.default:
                own_values[option_name] = tuple(value) if isinstance(value, list) else value
        return command(**values, own=own_values)

    everyday: Collection[str] = getattr(command, "everyday", ())
    if everyday:
        everyday = (*everyday, *added)
    return with_options(parameters | added, everyday=everyday)(run)


def _named_files(words: Sequence[str], options: Container[str]) -> Iterator[tuple[str, str]]:
    """Each option of `options` that names a person's own file in a command line, and the file, once each."""
    named: set[tuple[str, str]] = set()
    for word, following in pairwise([*words, ""]):
        flag, is_joined, value = word.partition("=")
        name = flag.removeprefix("--").replace("-", "_")
        file = value if is_joined else following
        names_file = flag.startswith("--") and name in options and is_own_file(file)
        if names_file and (name, file) not in named:
            named.add((name, file))
            yield name, file


#: Types of settings that an option can set. A person's own settings of any other type are set in the file.
_READABLE = (*_NUMBERS, bool, str, str | None, tuple[str, ...], tuple[tuple[str, str], ...])


def _own_parameters(file: str, holders: Iterable[object]) -> Iterator[inspect.Parameter]:
    """An option for each setting of a person's own file whose value can be given as text."""
    options: set[str] = set()
    for placed in settings_in(*holders):
        is_new = placed.is_option and placed.option not in options
        if is_new and _hint_of(placed) in _READABLE:
            options.add(placed.option)
            parameter = _parameter(placed, Panel.RARE)
            parameter.default.rich_help_panel = f"Settings of {Path(file).name}"
            yield parameter


def _refuse_clash(parameter: inspect.Parameter, other: inspect.Parameter | None, file: str, command: str) -> None:
    """Raise DailytalkError unless the setting is the one that the `other` option of the command sets."""
    about = getattr(getattr(other, "default", None), "help", None)
    own_about: str = parameter.default.help
    if own_about == about:
        return  # a setting that several stages share, such as `DEVICE`
    flag = "--" + parameter.name.replace("_", "-")
    meaning = f" ({about.rstrip('.')})" if about else ""
    raise DailytalkError(
        f"the setting {parameter.name} of {as_text(file)!r} ({own_about.rstrip('.')}) can't be the option {flag}: "
        f"`dailytalk {command}` has another option of that name{meaning}",
        'rename it, or give its option another name: setting(…, option="…")',
    )


def _ambiguous(parameter: inspect.Parameter, first: str, second: str) -> inspect.Parameter:
    """The option of a setting that two files have: who gives it a value is told to rename one."""
    flag = "--" + parameter.name.replace("_", "-")
    reason = f"{as_text(first)!r} and {as_text(second)!r} have a setting {parameter.name} each"

    def refuse(text: object) -> object:
        if text is NOT_GIVEN:
            return text
        raise DailytalkError(f"{flag} can't be set: {reason}", "give one of them another name")

    about = f"Can't be set: {reason}."
    default = option(NOT_GIVEN, Panel.RARE, about, metavar="NAME", parser=refuse, show_default=False)
    default.rich_help_panel = parameter.default.rich_help_panel
    return parameter.replace(default=default, annotation=Any)


def own_of(options: OptionValues, *holders: object) -> SettingValues:
    """The chosen values of own files that are settings of `holders`, by the names of the options."""
    names = {placed.option for placed in settings_in(*holders)}
    own_values = options.get("own", {})
    return {name: value for name, value in own_values.items() if name in names}


def chosen(options: OptionValues, settings: Iterable[str]) -> SettingValues:
    """Return the `options` that are settings and were given."""
    values = {}
    for name in settings:
        value = options.get(name, NOT_GIVEN)
        if value is NOT_GIVEN or value is False or value == []:
            continue
        values[name] = tuple(value) if isinstance(value, list) else value
    return values


def value_of(setting: Setting, hint: object, flag: str) -> Callable[[object], object]:
    """Return a parser of the values of a setting, whose type is `hint`, and whose option is `flag`.

    The parser raises BadValue, typer.BadParameter or ValueError.

    >>> value_of(SAMPLE_RATE, int, "--sample-rate")("source")
    0
    """
    time = time_of(setting.words, needs_unit=setting.unit == "time")

    def parse(text: object) -> object:
        if not isinstance(text, str):
            return text
        if text in setting.words:
            return setting.words[text]
        read = time if setting.unit else _NUMBERS.get(hint, str)
        value: object = read(text)
        if hint == tuple[str, ...]:
            names = [name.strip() for name in text.split(",")]
            value = tuple(name for name in names if name)
        check_value(flag, setting, value)
        return value

    return parse


def pair_of(text: str) -> tuple[str, str]:
    """Parse `TAG=OTHER`; raises typer.BadParameter for any other text."""
    name, _, other = text.partition("=")
    if not name or not other:
        raise typer.BadParameter(f"{text!r} is not TAG=OTHER, such as determined=confident")
    return name, other


def either(choices: Iterable[str]) -> str:
    """Return the choices in words, without an empty one.

    >>> either(["left", "right", "mix"])
    'left, right or mix'
    """
    *first, last = filter(None, choices)
    return f"{', '.join(first)} or {last}" if first else last


def out_option(default: object = ...) -> Any:
    return option(default, Panel.INPUT, "Folder for the results.", metavar="DIR")


def file_option(show_default: str) -> Any:
    return option(
        None, Panel.INPUT, "File for the result.", metavar="FILE", dir_okay=False, show_default=show_default
    )


def profile_option(default: str = STANDARD) -> Any:
    about = f"Set of models: {either(PROFILES)}."
    shown = f"{STANDARD}; speak: that of tag; converse: {EMBEDDED}"
    return option(default, Panel.MODELS, about, metavar="NAME", show_default=shown)


def format_option(default: str) -> Any:
    return option(
        default,
        Panel.INPUT,
        "Which trainer or tool the folder is for (docs/formats.md lists them), or your own.",
        metavar="NAME|FILE.py",
        show_default="moshi; to check what the folder shows",
    )


SOURCE_LICENCE = option(
    "",
    Panel.INPUT,
    "Licence of the recordings, for run.json or the model card.",
    metavar="NAME",
    show_default="what the source says",
)
STAGE = option(
    None,
    Panel.RARE,
    "Your own file of Python whose list STAGES is run after the others.",
    "--stage",
    metavar="FILE.py",
)
SPLIT = option(
    "",
    Panel.HUB,
    "Split of the dataset; to tag files of audio, their folder.",
    metavar="NAME",
    show_default="all; to export train",
)
#: The TAG of OWNER/NAME@TAG, as cards of earlier versions name it.
REVISION = option(
    None, Panel.INPUT, "Version of a dataset on the Hub.", metavar="TAG", show_default="main", hidden=True
)
SEED_OPTION = option(0, Panel.RUN, SEED.about, metavar="N")
DEVICE_OPTION = option("auto", Panel.MODELS, DEVICE.about.replace("{choices}", either(DEVICES)), metavar="NAME")
PORT = option(0, Panel.RUN, "Port of the page; 0 takes a free one.", metavar="N", min=0, max=65535)
NO_BROWSER = option(False, Panel.RUN, "Print the address only.", "--no-browser")
