"""What a server's answer to a posted event means.

Promises: 2xx is delivered; 408, 429, every 5xx, a redirection and what is no final answer are worth another try; every
other 4xx is a refusal for good.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from glass_edge.adapters.sink import PermanentError, RetryableError

_RETRIED = frozenset({408, 429})
_LONGEST_TEXT = 300


def judge(url: str, code: int, retry_after: str | None, text: str) -> None:
    """Judge an answer of HTTP status `code`.

    Args:
        url: who answered.
        code: status code.
        retry_after: the header Retry-After, None without one.
        text: beginning of the body.

    Raises:
        RetryableError: try again, after the pause the server asks for.
        PermanentError: the server will not take this event.
    """
    if 200 <= code < 300:
        return
    said = "".join(character if character.isprintable() else " " for character in text[:_LONGEST_TEXT]).strip()
    answer = f"{url} answered {code}" + (f" ({said})" if said else "")
    if 300 <= code < 400:
        raise RetryableError(f"{answer}, a redirection; give its final URL")
    if code in _RETRIED or not 400 <= code < 500:
        raise RetryableError(f"{answer}; mend the server", retry_after_s(retry_after, datetime.now(UTC)))
    raise PermanentError(answer)


def retry_after_s(value: str | None, now: datetime) -> float | None:
    """Seconds that a Retry-After header asks for (RFC 9110, 10.2.3: seconds or a date); None when it asks for none."""
    if value is None:
        return None
    if value.strip().isascii() and value.strip().isdigit():
        return float(value.strip()[:10])
    try:
        until = parsedate_to_datetime(value)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max(0.0, (until - now).total_seconds())
