"""Extras of the package that bring a library that is not installed.

Loading versions, or exporting them for a trainer, needs few libraries. The others come with extras that are named
for the work that needs them.
"""

#: The extra that brings each module of a library that the package itself does not require.
EXTRA_OF_MODULE = {
    "av": "build",
    "ctranslate2": "build",
    "faster_whisper": "build",
    "librosa": "build",
    "msgpack": "build",
    "onnxruntime": "build",
    "py3langid": "build",
    "requests": "build",
    "silero_vad": "build",
    "torch": "build",
    "transformers": "build",
    "urllib3": "build",
    "praatio": "formats",
    "pympi": "formats",
    "pysubs2": "formats",
    "matplotlib": "report",
    "num2words": "align",
    "pocketsphinx": "align",
    "pooch": "corpora",
}


def missing_extra(error: ImportError) -> str:
    """Return a sentence that names the missing library and the extra that brings it; empty for other libraries.

    >>> missing_extra(ModuleNotFoundError("No module named 'pympi'", name="pympi"))
    "pympi is not installed: pip install '.[formats]' in a checkout of dailytalk_contiguous"
    """
    module = (error.name or "").partition(".")[0]
    extra = EXTRA_OF_MODULE.get(module)
    if extra is None:
        return ""
    return f"{module} is not installed: pip install '.[{extra}]' in a checkout of dailytalk_contiguous"
