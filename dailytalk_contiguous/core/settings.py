"""Settings: fields of frozen dataclasses, each declared with its help, range and choices.

A stage is such a dataclass, and so are the plan of a corpus and its limits of quality. Everything else that names
a setting is made from the fields: the options of the commands, the settings in run.json and in a dataset's card.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields, is_dataclass, replace
from typing import Any, NamedTuple, TypeVar

from dailytalk_contiguous.core.errors import BadValue
from dailytalk_contiguous.core.wording import portable

_Holder = TypeVar("_Holder")
_Default = TypeVar("_Default")


def is_own_file(name: str) -> bool:
    """Whether the value of an option names a file, and not a choice of this package."""
    return name.endswith(".py")


@dataclass(frozen=True)
class Setting:
    """The description of a field, in its metadata.

    Attributes:
        about: sentence for the help; `{choices}` becomes the choices.
        option: name of its option, with underscores; empty for the field's own. Fields of several stages that have
            one option (`device`) are set together.
        panel: panel of the help, by its name in lower case (see `cli.terminal.Panel`).
        choices: possible values; empty where there are others.
        takes_own_file: whether the user's own file of Python may be named in place of a choice.
        words: words that are accepted in place of a value, with that value.
        least: least value of a number.
        most: greatest value of a number.
        unit: `s` for a time, which is written 3, 3s or 15m, `time` for one that needs its unit because 15 may
            mean minutes; empty where the help's `metavar` names it.
        metavar: placeholder of a value in the help.
        shown: default in the help; empty for the default itself.
        reference: whether it names a model, a voice or a folder. Models and voices are recorded
            elsewhere, with their licences, and folders of this machine nowhere.
        hidden: whether no help lists its option: the message or the page that calls for it names it.
    """

    about: str
    option: str = ""
    panel: str = "rare"
    choices: Collection[str] = ()
    takes_own_file: bool = False
    words: Mapping[str, object] = field(default_factory=dict)
    least: float | None = None
    most: float | None = None
    unit: str = ""
    metavar: str = ""
    shown: str = ""
    reference: bool = False
    hidden: bool = False


#: The seed of whatever chooses at random.
SEED = Setting("Seed of all random choices: the same one makes the same choices.", panel="run")

#: The part that a published version, or the training of an encoder, is validated on.
VALID_SHARE = Setting(
    "Share to validate on: of the time of a dataset, of the utterances of a training.",
    panel="splits",
    metavar="SHARE",
    least=0.0,
    most=0.5,
)

#: Metadata of a field that says how a stage is carried out (on which device), not what it computes: in no digest.
EXECUTION: dict[str, object] = {"execution": True}


def setting(default: _Default, about: str | Setting, execution: bool = False, **attributes: Any) -> _Default:
    """Declare a field of a dataclass with its help, range and choices.

    Args:
        default: default of the field.
        about: its help, with further `attributes` of `Setting`; or a `Setting` that several stages share.
        execution: see `EXECUTION`.
    """
    described = about if isinstance(about, Setting) else Setting(about, **attributes)
    metadata: dict[str, object] = {"setting": described}
    if execution:
        metadata |= EXECUTION
    return field(default=default, metadata=metadata)


def unlisted(default: _Default, about: str | Setting = "", execution: bool = False, **attributes: Any) -> _Default:
    """Declare a field that is set from Python alone: a table, a measured limit, or a value not set by hand.

    A field that is described, as by `setting`, is set and recorded by its name as others are, and is no option.
    """
    metadata: dict[str, object] = {"unlisted": True}
    if about:
        metadata["setting"] = about if isinstance(about, Setting) else Setting(about, **attributes)
    if execution:
        metadata |= EXECUTION
    return field(default=default, metadata=metadata)


class PlacedSetting(NamedTuple):
    """A setting with its dataclass, the name of its field, its value there, and whether it is an option."""

    kind: type
    name: str
    setting: Setting
    execution: bool
    value: Any
    is_option: bool = True

    @property
    def option(self) -> str:
        return self.setting.option or self.name


def settings_in(*holders: object) -> Iterator[PlacedSetting]:
    """Yield the settings of dataclasses and of the dataclasses inside them, in order.

    A field that is declared without a `Setting` is an option by its name.
    """
    for holder in holders:
        for attribute in fields(holder):  # type: ignore[arg-type]  # a stage is a protocol to mypy
            value = getattr(holder, attribute.name)
            if not _is_setting(attribute):
                continue
            if is_dataclass(value):
                yield from settings_in(value)
            else:
                kind = type(holder)
                described = _setting_of(kind, attribute)
                is_execution = bool(attribute.metadata.get("execution"))
                is_option = not attribute.metadata.get("unlisted")
                yield PlacedSetting(kind, attribute.name, described, is_execution, value, is_option)


def _is_setting(attribute: Field[object]) -> bool:
    return "setting" in attribute.metadata or not attribute.metadata.get("unlisted")


def _setting_of(kind: type, attribute: Field[object]) -> Setting:
    described: Setting | None = attribute.metadata.get("setting")
    if described:
        return described
    noun = attribute.name.replace("_", " ").capitalize()
    return Setting(f"{noun} of {kind.__name__}.")


def check_values(*holders: object) -> None:
    """Raise BadValue for a setting whose value is out of its range, or none of its choices."""
    for placed in settings_in(*holders):
        check_value(placed.name, placed.setting, placed.value)


def check_value(name: str, setting: Setting, value: Any) -> None:
    """Raise BadValue for a value that a setting can't have. None and empty values are the absence of a choice."""
    least = setting.least
    most = setting.most
    is_absent = not value and value != 0
    if is_absent or value in setting.words.values():
        return
    if setting.takes_own_file and is_own_file(value):
        return
    values = value if isinstance(value, tuple) else [value]
    is_choice = not setting.choices or {*values} <= {*setting.choices}
    is_high_enough = least is None or value >= least
    is_low_enough = most is None or value <= most
    if is_choice and is_high_enough and is_low_enough:
        return
    possible = ", ".join(filter(None, setting.choices))
    if least is not None:
        possible = f"{least:.15g} or more" if most is None else f"{least:.15g} to {most:.15g}"
    alternatives = " or ".join([possible, *setting.words])
    raise BadValue(f"{name} can't be {value!r}", f"give {alternatives}")


def one_of(name: str, value: str, choices: Collection[str]) -> str:
    """Return the value, if it is one of the choices. Raises BadValue."""
    if value not in choices:
        raise BadValue(f"{name} can't be {value!r}", f"give {', '.join(filter(None, choices))}")
    return value


def settings_of(*holders: object) -> dict[str, object]:
    """Return the settings that decide the result, by the names of the options, for run.json and a dataset's card.

    Settings of execution and references are left out; only the last part of a path on this machine is kept.

    >>> from dailytalk_contiguous import Bucket, Punctuate
    >>> settings_of(Bucket(), Punctuate())
    {'buckets': 'percentile', 'punctuate': 'missing'}
    """
    values: dict[str, object] = {}
    for placed in settings_in(*holders):
        if placed.execution or placed.setting.reference:
            continue
        value = placed.value
        if isinstance(value, str):
            value = portable(value)
        values.setdefault(placed.option, value)
    return values


def chosen_for(kind: type, options: Mapping[str, object]) -> dict[str, Any]:
    """Return the arguments of a dataclass among `options`, which have the names of options.

    >>> from dailytalk_contiguous import Bucket
    >>> chosen_for(Bucket, {"buckets": "seed", "beam": 2})
    {'preset': 'seed'}
    """
    arguments = {}
    for attribute in fields(kind):
        option = _setting_of(kind, attribute).option or attribute.name
        if _is_setting(attribute) and option in options:
            arguments[attribute.name] = options[option]
    return arguments


def with_settings(holders: Sequence[_Holder], options: Mapping[str, object]) -> tuple[_Holder, ...]:
    """Copy dataclasses, and those inside them, with the values of `options`, by the options' names."""
    return tuple(_with(holder, options) for holder in holders)


def _with(holder: _Holder, options: Mapping[str, object]) -> _Holder:
    changed = chosen_for(type(holder), options)
    for attribute in fields(holder):  # type: ignore[arg-type]
        value = getattr(holder, attribute.name)
        if _is_setting(attribute) and is_dataclass(value):
            inner = _with(value, options)
            if inner is not value:
                changed[attribute.name] = inner
    return replace(holder, **changed) if changed else holder  # type: ignore[type-var]


def check_known(options: Mapping[str, object], *holders: object) -> None:
    """Raise DailytalkError for an option that none of the dataclasses has."""
    names = {placed.option for placed in settings_in(*holders)}
    unknown = sorted(set(options) - names)
    if unknown:
        raise BadValue(f"there is no setting {unknown[0]!r}", f"choose among {', '.join(sorted(names))}")
