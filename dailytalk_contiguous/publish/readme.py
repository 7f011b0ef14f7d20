"""The README.md of a folder that we make: its content, its licences, its models and settings, how to load it.

It is for a person who is sent the folder. Its last line has a digest of the rest, by which the next run knows it:
a README that a person wrote or changed stays as it is.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dailytalk_contiguous.core import licensing
from dailytalk_contiguous.core.documents import read_bytes
from dailytalk_contiguous.core.tally import Tally
from dailytalk_contiguous.core.wording import counted, portable
from dailytalk_contiguous.publish import conversation_sections, sections
from dailytalk_contiguous.publish.card import derived, licence_section, origins_of, warnings
from dailytalk_contiguous.publish.opening import open_items
from dailytalk_contiguous.publish.render import escaped
from dailytalk_contiguous.store import work_folder
from dailytalk_contiguous.store.files import write_bytes
from dailytalk_contiguous.store.owned_folder import README, is_foreign, signed


def readme(
    title: str, about: str, made: Tally, load: str, *, run: Mapping[str, Any], defaults: Mapping[str, Any]
) -> str:
    """Return the text of a README.

    Args:
        about: a description of the folder. load: how to load it; both in Markdown.
        made: models and sources of its rows (`Tally.add_made`); if rows name none, those of `run`.
        run: run.json of the folder that they are from; {} where there is none.
        defaults: of `cli.defaults.default_settings`.
    """
    if not any(map(any, made.sources)) and (source := run.get("source")):
        made.sources.clear()
        made.sources[portable(source.get("repository") or source.get("name")), source.get("licence")] = 1
    if not made.models:
        made.total.conversations = (run.get("counts") or {}).get("conversations", 0)
        made.models.update(conversation_sections.models_of_run(run, made.total.conversations))
    settings = (run.get("settings") or {}) | ((run.get("speak") or {}).get("settings") or {})
    origins = origins_of(made) if made.sources else [licensing.Origin("source", "", None), *made.origins()]
    models = [origin for origin in origins if origin.role != "source"]
    licence = derived([origin.licence for origin in origins if origin.role == "source"], models)
    parts = {
        f"# {escaped(title)}": about,
        "## Licences": licence_section(licence, None, origins, warnings(licence, origins)),
        "## How it was made": sections.markdown(
            conversation_sections.made_parts(made, {**run, "settings": settings}, defaults)
        ),
        "## How to load it": load,
    }
    text = "\n\n".join(f"{heading}\n\n{part}" for heading, part in parts.items()) + "\n"
    return signed(text)


def write_work_readme(folder: Path, title: str, n_made: int, defaults: Mapping[str, Any]) -> None:
    """Write the README of a work folder after a run, unless a person's is there. Raises OSError.

    After a run that made no shard (`n_made`) it stays as it is: a million conversations are not read again.
    """
    run = work_folder.read_run(folder)
    if run is None or (not n_made and (folder / README).exists()) or is_foreign(folder):
        return
    made, spoken = Tally(), run.get("speak") or {}
    sizes = [
        f"{counted(n, 'conversation')} {state}"
        for state, of in (("tagged", run), ("finished", spoken))
        if (n := (of.get("counts") or {}).get("conversations"))
    ]
    is_finished = bool((spoken.get("counts") or {}).get("conversations"))
    for row in open_items(folder).rows(["provenance"]) if is_finished else ():
        made.add_made(row)
    about = f"A work folder of `dailytalk`: {', '.join(sizes) or 'nothing that could be used'}. "
    about += (_OF_TRANSCRIPT if (folder / work_folder.TRANSCRIPT).is_file() else "") + _FILES
    load = _LOAD if is_finished else _LOAD_TAGGED
    text = readme(title, about, made, load, run=run, defaults=defaults).encode()
    if not (folder / README).exists() or read_bytes(folder / README) != text:
        write_bytes(folder / README, text)


_OF_TRANSCRIPT = (
    "`transcript.jsonl` has a line for each utterance, and may be edited; `tagged` has what was found in the "
    "recordings; "
)
_FILES = (
    "`dataset` and `audio` have the finished conversations; `rejects.jsonl` what could not be used, and why; "
    "`run.json` how all of it was made."
)

_LOAD = """```python
import dailytalk_contiguous

talks = dailytalk_contiguous.load(".", split="train")  # the path of this folder
print(talks[0]["conversation_id"], talks[0]["audio"]["array"].shape)  # (samples, 2): left and right
```

`dailytalk check .` says whether it is good to train on, `dailytalk export . --format moshi --out data` writes what
a trainer reads."""

_LOAD_TAGGED = """```python
from datasets import load_dataset

tagged = load_dataset("parquet", data_dir="tagged", split="train")  # under the path of this folder
print(tagged[0]["conversation_id"], tagged[0]["text"])
```

`dailytalk speak .` makes finished conversations of it."""
