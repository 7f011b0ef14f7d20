"""Options that several commands have, and the folders and addresses they name."""

import inspect
import math
import re
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import typer

from dailytalk_contiguous.cli.terminal import Panel, option, with_parameters
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import BadValue, DailytalkError
from dailytalk_contiguous.core.own_file import from_own_file, is_own_file
from dailytalk_contiguous.core.settings import SEED, PlacedSetting, Setting, settings_in
from dailytalk_contiguous.models.contracts import NO_OPTIONS
from dailytalk_contiguous.models.devices import DEVICES
from dailytalk_contiguous.models.engines import engine_named
from dailytalk_contiguous.models.profiles import PROFILES, STANDARD
from dailytalk_contiguous.sources.addresses import is_address
from dailytalk_contiguous.stages.base import DEVICE, Stage, Stages
from dailytalk_contiguous.store.hub import check_token, model_reference


def one_of(flag: str, value: str, choices: Iterable[str]) -> str:
    known = list(choices)
    if value not in known:
        raise BadValue(f"{flag} can't be {value!r}", f"choose one of {', '.join(filter(None, known))}")
    return value


#: Seconds of each unit that a time may have on the command line.
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}

#: The metavar of a time.
TIME = "TIME"


def time_of(
    flag: str, words: Mapping[str, float], least: float = 0.0, needs_unit: bool = True
) -> Callable[[str | float], float]:
    """Return a parser of times for typer: `15m`, `900s`, `1.5 h`, `300ms` in seconds. Defaults, floats, stay.

    The parser raises DailytalkError.

    Args:
        flag: the option, for the error.
        words: words in place of a time, such as `never`, and how many seconds each is.
        least: the shortest time in seconds.
        needs_unit: whether a number alone is refused, except 0, because 15 may mean minutes or seconds; else it is
            seconds.

    >>> time_of("--max-length", {"never": 0.0})("1.5m")
    90.0
    """

    def parse(text: str | float) -> float:
        if not isinstance(text, str):
            return text
        bare = text.strip().lower()
        if bare in words:
            return words[bare]
        match = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]{0,12})?|\.[0-9]{1,12})\s*([a-z]*)", bare)
        if needs_unit and match and not match[2] and float(match[1]):
            raise BadValue(f"{flag} {bare} has no unit", f"give {bare}m for minutes or {bare}s for seconds")
        seconds = float(match[1]) * UNITS.get(match[2] or "s", math.nan) if match else math.nan
        if not seconds >= least:
            remedy = " or ".join(filter(None, ("give a time such as 15m, 90s or 1h", ", ".join(words))))
            raise BadValue(f"{flag} can't be {text!r}", remedy)
        return seconds

    return parse


def time_text(seconds: float) -> str:
    """Return a time as an option takes it: `15m`, `3s`.

    >>> time_text(900.0), time_text(0.8), time_text(0.0)
    ('15m', '0.8s', '0')
    """
    if seconds >= 60 and not seconds % 60:
        return f"{seconds / 60:g}m"
    return f"{seconds:g}s" if seconds else "0"


def on_this_machine(flag: str, path: Path | None) -> None:
    """Raise DailytalkError for an address in a store or on the Web: the command writes to a local disk only."""
    if path is not None and is_address(path):
        raise BadValue(f"{flag} can't be {as_text(path)!r}", "name a folder of this machine, and copy it after")


def size_text(count: float) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:.0f} bytes"


def load_stages(files: Iterable[Path]) -> Stages:
    """Load the stages that a person's own files define: each has a list `STAGES`.

    Raises DailytalkError for a file that is missing, can't be run, or has no such list.
    """
    stages: list[Stage] = []
    for file in files:
        example = "STAGES = (PerUtterance(MyStage()),)"
        listed = from_own_file("--stage", file, "STAGES", tuple | list, example)
        if not listed or not all(isinstance(stage, Stage) for stage in listed):
            raise DailytalkError(f"--stage {as_text(file)!r} has no list of stages", f"end it with {example}")
        for stage in listed:
            if not is_dataclass(inner := getattr(stage, "stage", stage)):
                raise DailytalkError(
                    f"--stage {as_text(file)!r}: {type(inner).__name__} is no dataclass",
                    "write @dataclass(frozen=True) above it",
                )
        stages += listed
    return tuple(stages)


class NotGiven:
    """The default of a setting's option, as the help shows it; the profile or the stage decides its value."""

    def __init__(self, shown: str) -> None:
        self.shown = shown

    def __str__(self) -> str:
        return self.shown


def setting_options(*holders: Any, without: Container[str] = ()) -> dict[str, inspect.Parameter]:
    """Return a parameter of a command for each setting of stages and other dataclasses, once each, by its name.

    Its value is `NotGiven`, or a value of the setting's type. `without`: options that are left out.
    """
    taken: dict[str, inspect.Parameter] = {}
    for placed in settings_in(*holders):
        if placed.option not in without:
            taken.setdefault(placed.option, _parameter(placed))
    return taken


def with_options(settings: Mapping[str, inspect.Parameter]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a command with an option for each setting (see `setting_options`), in place of its `**options`."""

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        parameters = inspect.signature(command, eval_str=True).parameters
        taken = {
            name: parameters[name] for name in parameters if parameters[name].kind != inspect.Parameter.VAR_KEYWORD
        }
        return with_parameters(command, {**taken, **settings})

    return add


def _format_options(file: Path) -> dict[str, inspect.Parameter]:
    """The options that a format in a person's own file adds to those of `export`."""
    from dailytalk_contiguous.publish.formats import format_named

    settings = format_named(str(file)).settings
    bundled = (kind for kind in type(settings).__mro__ if kind.__module__.split(".")[0] == __name__.split(".")[0])
    inherited = {name for kind in bundled for name in getattr(kind, "__annotations__", ())}
    return setting_options(settings, without=inherited)


#: Options that name a person's own files, and the settings in these that are options of the command, too.
OWN_OPTIONS: dict[str, Callable[[Path], Mapping[str, inspect.Parameter]]] = {
    "stage": lambda file: setting_options(*load_stages([file])),
    "tts": lambda file: setting_options(engine_named(str(file)).options),
    "format": _format_options,
}


def own_voice(options: Mapping[str, Any]) -> Any:
    """Return the settings of a synthesiser of `--tts` in a person's own file; none for any other."""
    name = options.get("tts")
    return engine_named(name).options if isinstance(name, str) and is_own_file(name) else NO_OPTIONS


def with_own_options(command: Callable[..., Any], named: Sequence[tuple[str, str]]) -> Callable[..., Any]:
    """Return the command with an option for each setting in a person's own files.

    `named` are options of the command and the files that they name. Raises DailytalkError for a name that is
    taken, and as `load_stages` and `engine_named` do.
    """
    known = inspect.signature(command).parameters
    files = [(name, Path(value)) for name, value in named if name in OWN_OPTIONS.keys() & known.keys()]
    settings = {option: of for name, file in files for option, of in OWN_OPTIONS[name](file).items()}
    if not settings:
        return command
    if taken := sorted(settings.keys() & known.keys()):
        flag = "--" + taken[0].replace("_", "-")
        raise DailytalkError(f"{flag} is an option already", f"give the field {taken[0]!r} another name")

    def extended(**options: Any) -> Any:
        return command(**options)

    return with_parameters(extended, {**known, **settings})


def chosen(options: Mapping[str, Any], settings: Mapping[str, inspect.Parameter]) -> dict[str, Any]:
    """Return the `options` that are settings and have a value."""
    values = {
        name: options[name]
        for name, parameter in settings.items()
        if name in options
        and options[name] is not parameter.default.default
        and not isinstance(options[name], NotGiven)
    }
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


#: Types of settings that are numbers, or none.
_NUMBERS = (int, float, int | None, float | None)


def _parameter(placed: PlacedSetting) -> inspect.Parameter:
    setting, value, flag = placed.setting, placed.value, "--" + placed.option.replace("_", "-")
    about = setting.about.replace("{choices}", either(setting.choices)) if setting.choices else setting.about
    hint = get_type_hints(placed.kind)[placed.name]
    kind: Any = Any
    if hint is bool:
        kind, default = bool, option(False, Panel[setting.panel.upper()], about, flag)
    else:
        if setting.unit:
            shown, metavar = setting.shown or time_text(value), TIME
        else:
            words = {meant: word for word, meant in setting.words.items()}
            text = f"{value:g}" if isinstance(value, float) else str(value)
            shown = setting.shown or str(words.get(value, "" if value in (None, ()) else text))
            metavar = "N" if hint in _NUMBERS else "NAME"
            if hint in _NUMBERS and (least := setting.least) is not None:
                most = setting.most
                metavar += f" [x>={least:.15g}]" if most is None else f" [{least:.15g}<=x<={most:.15g}]"
        several = hint == tuple[tuple[str, str], ...]
        kind = list[Any] | None if several else Any
        default = option(
            None if several else NotGiven(shown),
            Panel[setting.panel.upper()],
            about,
            metavar=setting.metavar or metavar,
            parser=pair_of(flag) if several else value_of(flag, setting, hint),
            show_default=bool(shown),
        )
    return inspect.Parameter(placed.option, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)


def value_of(flag: str, setting: Setting, hint: Any) -> Callable[[Any], Any]:
    """Return a parser of the values of a setting, whose type is `hint`.

    It raises DailytalkError for a value that is not a choice, and typer.BadParameter for one that is not a number.

    >>> value_of("--sample-rate", SAMPLE_RATE, int)("source")
    0
    """
    if setting.unit:
        return time_of(flag, setting.words, setting.least or 0.0, needs_unit=setting.unit == "time")
    number = next((kind for kind in (int, float) if hint in (kind, kind | None)), None)

    def parse(text: Any) -> Any:
        if not isinstance(text, str):
            return text
        if text in setting.words:
            return setting.words[text]
        if number is not None:
            return _number_of(flag, text, number, setting)
        if hint == tuple[str, ...]:
            names = [name.strip() for name in text.split(",")]
            return tuple(
                one_of(flag, name, setting.choices) if setting.choices else name for name in names if name
            )
        if setting.own and is_own_file(text):
            return text
        return one_of(flag, text, setting.choices) if setting.choices else text

    return parse


def _number_of(flag: str, text: str, kind: type[int] | type[float], setting: Setting) -> float:
    least = -math.inf if setting.least is None else setting.least
    most = math.inf if setting.most is None else setting.most
    try:
        number: float = kind(text)
    except ValueError:
        number = math.nan
    if not least <= number <= most:
        named = "a whole number" if kind is int else "a number"
        ends = [f"from {least:.15g}" if least > -math.inf else "", f"to {most:.15g}" if most < math.inf else ""]
        allowed = " ".join(filter(None, (named, *ends)))
        if not setting.words:
            raise typer.BadParameter(f"{text!r} is not {allowed}")  # worded as typer does for its own numbers
        raise BadValue(f"{flag} can't be {text!r}", f"give {allowed}, or {' or '.join(setting.words)}")
    return number


def pair_of(flag: str) -> Callable[[Any], Any]:
    """Return a parser of `TAG=OTHER`; it raises DailytalkError for any other text."""

    def parse(text: Any) -> Any:
        name, sign, other = text.partition("=")
        if not sign or not name or not other:
            raise BadValue(f"{flag} can't be {text!r}", "give TAG=OTHER, such as determined=confident")
        return name, other

    return parse


def either(choices: Iterable[str]) -> str:
    """Return the choices in words, without an empty one.

    >>> either(["left", "right", "mix"])
    'left, right or mix'
    """
    *first, last = filter(None, choices)
    return f"{', '.join(first)} or {last}" if first else last


def out_option(default: Any = ...) -> Any:
    return option(default, Panel.INPUT, "Folder for the results.", metavar="DIR")


def file_option(default: Any = ..., **settings: Any) -> Any:
    return option(default, Panel.INPUT, "File for the result.", metavar="FILE", **settings)


def split_option(shown: str, metavar: str = "NAME") -> Any:
    return option("", Panel.HUB, "Its split.", metavar=metavar, show_default=shown)


def profile_option(default: str = STANDARD, show_default: str | bool = True) -> Any:
    about = f"Set of models: {either(PROFILES)}."
    return option(default, Panel.MODELS, about, metavar="NAME", show_default=show_default)


HTML = option(None, Panel.INPUT, "A page of it, too: one file, no network.", metavar="FILE")
PNG = option(None, Panel.INPUT, "A picture of it, too.", "--png", metavar="FILE")
AGAINST = option(
    None,
    Panel.INPUT,
    "What to compare with: a work folder, a corpus, a mix, a version, or a corpus-stats.json.",
    metavar="DIR|FILE|OWNER/NAME",
)
MARKDOWN = option(None, Panel.INPUT, "A summary of it, too, for a card.", metavar="FILE")
SOURCE_LICENCE = option(
    *("", Panel.INPUT, "Licence of the recordings, for run.json or the model card."),
    metavar="NAME",
    show_default="what the source says",
)
STAGE = option(
    None,
    Panel.RARE,
    "Your own file of Python whose list STAGES is run after the others; with --help, its options.",
    "--stage",
    metavar="FILE.py",
)
REVISION = option(None, Panel.INPUT, "Version of a dataset on the Hub.", metavar="TAG", show_default="main")
SEED_OPTION = option(0, Panel.RUN, SEED.about, metavar="N")
DEVICE_OPTION = option("auto", Panel.MODELS, DEVICE.about.replace("{choices}", either(DEVICES)), metavar="NAME")
PORT = option(0, Panel.RUN, "Where the page is served; 0 takes a free one.", metavar="N", min=0, max=65535)
NO_BROWSER = option(False, Panel.RUN, "Print the address only.", "--no-browser")
PUSH_MODEL = option(None, Panel.INPUT, "Publish it as this model on the Hub.", "--push", metavar="OWNER/NAME")
PRIVATE = option(False, Panel.INPUT, "What is made on the Hub is for invited people only.", "--private")


def model_to_push(push: str | None, private: bool) -> str | None:
    """Return the repository of `--push`; None without it.

    Raises DailytalkError, before any work, for an impossible name, for a version, and without a login.
    """
    if push is None:
        if private:
            raise DailytalkError("--private says how to publish, and nothing is published", "pass --push too")
        return None
    repo, revision = model_reference(push)
    if revision is not None:
        raise BadValue(f"--push can't be {push!r}", "leave the version out: a training is one commit")
    check_token()
    return repo
