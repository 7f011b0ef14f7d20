"""Every format of `dailytalk export`, in the order of its list."""

from itertools import chain
from typing import Any

from dailytalk_contiguous.core.apps import parts
from dailytalk_contiguous.publish.annotation_formats import ANNOTATIONS
from dailytalk_contiguous.publish.dialogue_formats import CSM, JMOSHI
from dailytalk_contiguous.publish.exports import ExportFormat
from dailytalk_contiguous.publish.interactivity import FULL_DUPLEX_BENCH, INTERACTIVITY
from dailytalk_contiguous.publish.moshi_folder import MOSHI
from dailytalk_contiguous.publish.prompts import PERSONAPLEX
from dailytalk_contiguous.publish.trainer_formats import TRAINER_FORMATS

_ALL: list[ExportFormat[Any]] = [MOSHI, PERSONAPLEX, JMOSHI, CSM, *TRAINER_FORMATS]
_ALL += [INTERACTIVITY, FULL_DUPLEX_BENCH, *chain.from_iterable(parts("FORMATS")), *ANNOTATIONS]

FORMATS = {format.name: format for format in _ALL}
