"""Digests of code: what a definition reaches counts, whatever way it is imported, and nothing else."""

import importlib
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dailytalk_contiguous.core.code import code_digest
from dailytalk_contiguous.core.errors import BadInput

NUMBERS = itertools.count()
IMPORT = "from dailytalk_contiguous.core.errors import BadInput\n"

Define = Callable[[str], Any]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Define:
    """Imports a text as a module of a name that no other has."""
    monkeypatch.syspath_prepend(tmp_path)

    def define(text: str) -> Any:
        name = f"defined_{next(NUMBERS)}"
        (tmp_path / f"{name}.py").write_text(text)
        importlib.invalidate_caches()
        return importlib.import_module(name)

    return define


@pytest.mark.parametrize(
    "text",
    [
        IMPORT + "def f(): raise BadInput",
        "from dailytalk_contiguous.core.errors import BadInput as Bad\ndef f(): raise Bad",
        "from dailytalk_contiguous.core.errors import ModelMissing as M, BadInput\ndef f(): raise BadInput",
        "from dailytalk_contiguous.core import errors\ndef f(): raise errors.BadInput",
        "from dailytalk_contiguous.core import errors as e\ndef f(): raise e.BadInput('', '')",
        "from dailytalk_contiguous import core\ndef f(): raise core.errors.BadInput",
        "import dailytalk_contiguous.core.errors\ndef f(): raise dailytalk_contiguous.core.errors.BadInput",
        "import dailytalk_contiguous.core.errors as e\ndef f(): raise e.BadInput",
        "from dailytalk_contiguous.core import errors\ndef f(): return errors.BadInput.__name__.lower()",
        "from dailytalk_contiguous.core.documents import BadInput\ndef f(): raise BadInput",
        "import json, dailytalk_contiguous.core.errors as e\ndef f(): raise e.BadInput",
        "def f():\n    " + IMPORT + "    raise BadInput",
        "def f():\n    import dailytalk_contiguous.core.errors as e\n    raise e.BadInput",
        "try:\n    " + IMPORT + "except ImportError:\n    BadInput = None\ndef f(): raise BadInput",
        "if True:\n    " + IMPORT + "def f(): raise BadInput",
        IMPORT + "def g(): raise BadInput\ndef f(): return g()",
        IMPORT + "async def g(): raise BadInput\ndef f(): return g()",
        IMPORT + "KINDS, OTHERS = (BadInput,), 1\ndef f(): return KINDS",
        IMPORT + "KINDS: tuple = (BadInput,)\ndef f(): return KINDS",
        IMPORT + "class Mine(BadInput): pass\ndef f(): return Mine",
        IMPORT + "if True:\n    def g(): raise BadInput\nelse:\n    def g(): pass\ndef f(): return g()",
        IMPORT + "if True:\n    class Mine(BadInput): pass\ndef f(): return Mine",
        IMPORT + "def f(error: BadInput) -> None: pass",
        IMPORT + "@staticmethod\ndef f(kind=BadInput): pass",
        IMPORT + "def f(): pass\nf.kind = BadInput",
        IMPORT + "print(end=str(BadInput)[:0])\ndef f(): pass",
    ],
)
def test_definition_is_reached_whatever_way_it_is_imported_and_named(module: Define, text: str) -> None:
    f = module(text).f
    assert code_digest(f) != code_digest(f, without=BadInput)


@pytest.mark.parametrize(
    "text",
    [
        IMPORT + "def f(): return 1",
        IMPORT + "def g(): raise BadInput\ndef f(): return 1",
        IMPORT + "KINDS = (BadInput,)\ndef f(): return 1",
        IMPORT + "if True:\n    def g(): raise BadInput\ndef f(): return 1",
        IMPORT + "def f(): return 'BadInput'",
        "from dailytalk_contiguous.core import errors\ndef f(): return errors.ModelMissing",
        "import dailytalk_contiguous.core.errors\ndef f(): return dailytalk_contiguous.core.wording.counted",
        "def f(errors): return errors.BadInput.row",
        "import json as errors\ndef f(): return errors.BadInput",
        "from json import JSONDecodeError as BadInput\ndef f(): return BadInput",
    ],
)
def test_definition_that_is_only_imported_or_named_elsewhere_is_not_reached(module: Define, text: str) -> None:
    f = module(text).f
    assert code_digest(f) == code_digest(f, without=BadInput)


F = "def f(x):\n    return g(x) + 1\ndef g(x):\n    return x * 2\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (F, F),  # in a module of another name
        (F, F.replace("return g", "'''Text.'''\n    return g")),
        (F, F.replace("return x", "'''Text.'''\n    return x")),
        (F, F.replace("return g(x) + 1", "# a comment\n    return (g( x )+1)")),
        (F, "'''A text.'''\n" + F),
        (F, F + "def h(x):\n    return f(x)\n"),
        (F, "import json\nfrom math import sin\n" + F),
        (F, "from dailytalk_contiguous.core import errors\n" + F),
        (F, "if True:\n    from dailytalk_contiguous.core import errors\n" + F),
        (F, "UNUSED, OTHER = 1, 2\n" + F),
        (F, "for UNUSED in ():\n    pass\n" + F),
        (F, "UNUSED = [g for g in () for x in ()]\n" + F),
        (F, "if True:\n    def unused(): pass\n" + F),
        (F, F + "def h():\n    g = 1\n    return g\n"),
        (F, F + "class C:\n    def g(self): pass\n"),
        (IMPORT + "def f(): BadInput", f"{IMPORT.replace('errors', 'documents')}def f(): BadInput"),
        (F, F.partition("def g")[1] + F.partition("def g")[2] + F.partition("def g")[0]),
        ("class C:\n    x = 1\ndef f(): C", "class C:\n    '''Text.'''\n    x = 1\ndef f(): C"),
    ],
)  # fmt: skip
def test_words_layout_names_of_modules_and_what_is_not_reached_do_not_count(
    module: Define, before: str, after: str
) -> None:
    assert code_digest(module(before).f) == code_digest(module(after).f)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (F, F.replace("1", "2")),
        (F, F.replace("* 2", "* 3")),
        (F, F.replace("f(x)", "f(x, y=0)")),
        (F, F + "g = len\n"),  # another definition of the same name
        (F, "print(end='')\n" + F),
        ("print(end='')\n" + F, "print(end='', file=None)\n" + F),
        ("import json as j\ndef f(): j", "import csv as j\ndef f(): j"),
        ("import os.path\ndef f(): os", "import os\ndef f(): os"),
        ("from math import sin as s\ndef f(): s", "from math import cos as s\ndef f(): s"),
        ("A, B = 1, 2\ndef f(): B", "A, B = 1, 3\ndef f(): B"),
        ("for A in (1,):\n    B = A\ndef f(): B", "for A in (2,):\n    B = A\ndef f(): B"),
        ("class C:\n    x = 1\ndef f(): C", "class C:\n    x = 2\ndef f(): C"),
        ("class C:\n    x = 1\n    y = 2\ndef f(): C", "class C:\n    x = 1\ndef f(): C"),
        ("async def g(): return 1\ndef f(): g", "async def g(): return 2\ndef f(): g"),
        (
            "if True:\n    def g(): return 1\nelse:\n    def g(): return 2\ndef f(): g",
            "if True:\n    def g(): return 1\nelse:\n    def g(): return 3\ndef f(): g",
        ),
        ("def f(): return {'a': [1]}", "def f(): return {'a': [2]}"),
        ("def f(): return -1", "def f(): return +1"),
        ("from dailytalk_contiguous.core import errors\ndef f(): errors.BadInput",
         "from dailytalk_contiguous.core import errors\ndef f(): errors.ModelMissing"),
    ],
)  # fmt: skip
def test_code_that_is_reached_counts(module: Define, before: str, after: str) -> None:
    assert code_digest(module(before).f) != code_digest(module(after).f)


def test_digest_of_several_definitions_follows_each_and_no_order(module: Define) -> None:
    defined = module("def f(): return g()\ndef g(): return f()\ndef h(): return 1\nclass A:\n    class B: pass\n")
    assert code_digest(defined.f) == code_digest(defined.g) == code_digest(defined.f, defined.g)
    both = code_digest(defined.f, defined.h)
    assert both == code_digest(defined.h, defined.f)
    assert len({both, code_digest(defined.f), code_digest(defined.h)}) == 3
    assert code_digest(defined.A.B) == code_digest(defined.A)
    assert all(len(digest) == 64 for digest in (both, code_digest(defined.A)))


def test_code_in_no_file_has_another_digest_at_every_call(module: Define) -> None:
    known, typed = module(F).f, module(F).g
    typed.__module__ = "typed_into_a_notebook"
    for definitions in ((typed,), (known, typed)):
        assert code_digest(*definitions) != code_digest(*definitions)
    assert code_digest(known) == code_digest(known)
