"""What a visitor reads when something fails: a sentence, without paths and tracebacks."""

import functools
import logging
import re
from collections.abc import Callable
from html import escape
from typing import Any, TypeVar

from hqgan.errors import HqganError

Function = TypeVar("Function", bound=Callable[..., Any])

UNEXPECTED = "Something went wrong on the server. Its log has the details; please try again."
# A path of at least two parts: "/tmp/x", "~/data", "C:\\data"; not "and/or", not "<Z>/<X>".
PATH = re.compile(r"(?<![\w/.~])(?:~|[A-Za-z]:)?(?:[/\\][\w.@+\-]+){2,}[/\\]?")

log = logging.getLogger("hqgan.app")


def sentence(error: HqganError, known: dict[str, str] | None = None) -> str:
    """An error's text; paths in `known` become their words there, all others "the server's files".

    Longer paths go first, so that a file in a known folder is named within it.
    """
    text = " ".join(str(error).split())
    for path, words in sorted((known or {}).items(), key=lambda item: -len(item[0])):
        text = text.replace(path, words)
    text = PATH.sub("(a file of the server)", text)
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def spoken(function: Function) -> Function:
    """Turn whatever a handler of the page raises into a sentence on the page.

    What hqgan explains is shown; of anything else the log gets the traceback.
    """

    @functools.wraps(function)
    def handler(*arguments: Any, **named: Any) -> Any:
        import gradio

        try:
            return function(*arguments, **named)
        except HqganError as error:
            text = sentence(error)
        except gradio.Error:
            raise
        except Exception:
            log.exception("a request failed in %s", function.__name__)
            text = UNEXPECTED
        # The page reads it as HTML, and names in it are those of files.
        raise gradio.Error(
            escape(text, quote=False), duration=15, title="Not done", print_exception=False
        ) from None

    return handler  # type: ignore[return-value]
