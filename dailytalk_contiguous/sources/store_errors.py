"""What a store in the network refuses, in one sentence of our own."""

import contextlib
from collections.abc import Iterator

from dailytalk_contiguous.core.errors import DailytalkError

#: The extra of this package that reads addresses of a scheme.
EXTRAS = {"s3": "s3", "gs": "gcs"}

#: Packages whose exceptions are a store's.
CLIENTS = ("botocore", "aiobotocore", "aiohttp", "gcsfs", "google", "huggingface_hub", "httpx")


@contextlib.contextmanager
def store_errors(address: str) -> Iterator[None]:
    """Say in one sentence what a store refused, without its own words: they hold keys and request ids.

    Raises DailytalkError. What this machine's own disk refused passes through.
    """
    try:
        yield
    except ImportError:
        extra = EXTRAS[address.partition(":")[0]]
        raise DailytalkError(
            f"{address} needs a package that is not installed", f"pip install 'dailytalk-contiguous[{extra}]'"
        ) from None
    except FileNotFoundError as error:
        if error.filename is not None:
            raise
        raise DailytalkError(f"there is no bucket or no object at {address}", "check the address") from None
    except PermissionError as error:
        if error.filename is not None:
            raise
        raise _refused(address) from None
    except Exception as error:
        module, name = type(error).__module__.partition(".")[0], type(error).__name__
        if "Credentials" in name or "Auth" in name or _status(error) in (401, 403):
            raise _refused(address) from None
        unnamed = isinstance(error, OSError) and error.filename is None and error.errno in (None, 5)
        if unnamed or module in CLIENTS:
            raise DailytalkError(
                f"the store of {address} failed or can't be reached ({name})",
                "check the network and run the same command again: what is finished is kept",
            ) from None
        raise


def _refused(address: str) -> DailytalkError:
    return DailytalkError(
        f"the store refuses access to {address}",
        "set credentials that may read and write there "
        "(for s3://: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY; for hf://: HF_TOKEN)",
    )


def _status(error: Exception) -> int | None:
    """The HTTP status that the Hub's client was answered with."""
    return getattr(getattr(error, "response", None), "status_code", None)
