"""Every format of `dailytalk export`, in the order of its list, and a person's own.

A folder is of the last format that recognises it: the first formats look at fewer files.
"""

from itertools import chain

from dailytalk_contiguous.core.settings import is_own_file, one_of
from dailytalk_contiguous.machine.apps import parts
from dailytalk_contiguous.machine.own_file import from_own_file
from dailytalk_contiguous.publish.exports.annotation_formats import ANNOTATIONS
from dailytalk_contiguous.publish.exports.csm import CSM
from dailytalk_contiguous.publish.exports.exporting import ExportFormat
from dailytalk_contiguous.publish.exports.jmoshi import JMOSHI
from dailytalk_contiguous.publish.exports.moshi_folder import MOSHI
from dailytalk_contiguous.publish.exports.personaplex import PERSONAPLEX
from dailytalk_contiguous.publish.exports.shard_formats import SHARD_FORMATS
from dailytalk_contiguous.publish.exports.smart_turn import SMART_TURN_FORMAT
from dailytalk_contiguous.publish.exports.vap import VAP

_ALL: list[ExportFormat] = [MOSHI, PERSONAPLEX, JMOSHI, CSM, VAP, *SHARD_FORMATS]
_ALL += [SMART_TURN_FORMAT, *chain.from_iterable(parts("FORMATS")), *ANNOTATIONS]

FORMATS = {format.name: format for format in _ALL}


def format_named(name: str) -> ExportFormat:
    """Return a format of this package, or of a person's own file. Raises DailytalkError for any other name."""
    if is_own_file(name):
        own_format: ExportFormat = from_own_file(
            "--format", name, "FORMAT", ExportFormat, "FORMAT = ExportFormat(...)"
        )
        return own_format
    return FORMATS[one_of("--format", name, FORMATS)]
