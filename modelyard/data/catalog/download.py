"""Fetches one URL into one file, with a time-out on every wait and progress while it comes."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path

from modelyard.core.errors import UnreachableError

__all__ = ["download"]

_CHUNK = 1 << 18
_TIMEOUT_SECONDS = 15.0


def download(
    url: str,
    target: Path,
    progress: Callable[[int, int | None], None],
    timeout: float = _TIMEOUT_SECONDS,
) -> None:
    """Fetch `url` into the file `target`. Proxies are taken from the environment, as urllib does.

    Args:
        progress: Called with the bytes that have come and the bytes there are (None when the server does not say).
        timeout: Seconds that the server may be silent.

    Raises:
        UnreachableError: There is no answer in time, the answer is an error, or it ends early.
    """
    scheme = urllib.parse.urlsplit(url).scheme
    if scheme not in ("https", "http"):
        raise UnreachableError(f"{url} is not an http or https address")
    request = urllib.request.Request(url, headers={"User-Agent": "modelyard", "Accept-Encoding": "identity"})
    with open(target, "wb") as file:
        try:
            answer = urllib.request.urlopen(request, timeout=timeout)
        except urllib.error.HTTPError as error:
            error.close()
            raise UnreachableError(f"{url} answered {error.code} {error.reason}") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise UnreachableError(f"{url} cannot be reached: {_reason(error, timeout)}") from error
        with answer:
            length = answer.headers.get("Content-Length", "")
            total = int(length) if length.isdigit() else None
            done = 0
            while chunk := _read(answer, url, timeout):
                file.write(chunk)  # outside the network's errors: a full disk is not a silent server
                done += len(chunk)
                progress(done, total)
    if total is not None and done != total:
        raise UnreachableError(f"{url} ended after {done} of {total} bytes")


def _read(answer: http.client.HTTPResponse, url: str, timeout: float) -> bytes:
    try:
        return answer.read(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise UnreachableError(f"{url} broke off: {_reason(error, timeout)}") from error


def _reason(error: Exception, timeout: float) -> str:
    cause = getattr(error, "reason", error)
    if isinstance(cause, TimeoutError):
        return f"no answer within {timeout:g} seconds"
    return str(getattr(cause, "strerror", None) or cause or type(cause).__name__)
