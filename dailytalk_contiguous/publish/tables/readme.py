"""The README.md of a folder that we make: its content, its licences, its models and settings, how to load it.

It is for a person who is sent the folder. Its last line has a digest of the rest, by which the next run knows it:
a README that a person wrote or changed stays as it is.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from msgspec.structs import replace

from dailytalk_contiguous.core import licensing
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.licensing import SOURCE
from dailytalk_contiguous.core.records import figures
from dailytalk_contiguous.core.records.run_record import NO_RUN, RunRecord
from dailytalk_contiguous.core.records.tables import Tables
from dailytalk_contiguous.core.wording import portable
from dailytalk_contiguous.publish.opening import open_items
from dailytalk_contiguous.publish.tables.displays import Displays
from dailytalk_contiguous.publish.tables.templates import environment, filled
from dailytalk_contiguous.store import work_folder
from dailytalk_contiguous.store.files import write_bytes
from dailytalk_contiguous.store.owned_folder import README, is_foreign, signed


def readme(
    title: str,
    about: str,
    made: Mapping[str, int],
    load: str,
    *,
    run: RunRecord,
    defaults: Mapping[str, object],
) -> str:
    """Return the text of a README.

    Args:
        about: a description of the folder, in Markdown.
        load: how to load it, in Markdown.
        made: the provenance of its rows, each as JSON or empty, with numbers of rows; if rows name no models and
            sources, those of `run` are named.
        run: run.json of the folder that they are from.
        defaults: of `cli.defaults.default_settings`.
    """
    provenances = [text or None for text in Counter(made).elements()]
    rows = pd.DataFrame({"provenance": provenances}, dtype=object)
    tables = Tables(rows, pd.DataFrame({"recogniser": []}, dtype=object))
    origins = [origin for origin in figures.all_origins(tables) if origin.name or origin.licence]
    roles = {origin.role for origin in origins}
    if SOURCE not in roles:
        name = portable(run.source.repository or run.source.name) or ""
        origins = [licensing.Origin(SOURCE, name, run.source.licence), *origins]
    if roles <= {SOURCE}:
        origins += sorted(run.origins)
    licence = licensing.derived(origins)
    whole_run = replace(run, settings=run.settings | run.speak.settings)
    text = filled(
        "readme.md",
        title=title,
        about=about,
        load=load,
        licences=licence,
        licence_name=None,
        warnings=licensing.promised_too_much([licence], origins),
        show=Displays(tables, whole_run, defaults, origins=origins),
    )
    return signed(text)


def write_work_readme(folder: Path, title: str, defaults: Mapping[str, object]) -> None:
    """Write the README of a work folder after a run, unless a person's is there. Raises OSError.

    One that was written after run.json stays as it is: a million conversations are not read again.
    """
    run = work_folder.read_run(folder)
    path = folder / README
    if run == NO_RUN or is_foreign(folder):
        return
    if path.exists() and path.stat().st_mtime_ns >= (folder / work_folder.RUN).stat().st_mtime_ns:
        return
    n_tagged = run.counts.conversations or 0
    n_finished = run.speak.counts.conversations or 0
    rows = open_items(folder).rows(["provenance"]) if n_finished else ()
    made = Counter(row.get("provenance") or "" for row in rows)
    work: Any = environment(markdown=True).get_template("work_readme.md").module
    has_transcript = (folder / work_folder.TRANSCRIPT).is_file()
    about = work.about(n_tagged, n_finished, has_transcript)
    load = work.load(n_finished)
    text = readme(as_text(title), about, made, load, run=run, defaults=defaults).encode()
    write_bytes(path, text)
    path.touch()  # a file with the same content has kept its time
