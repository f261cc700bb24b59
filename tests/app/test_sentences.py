"""What visitors read: sentences, without the server's paths and without tracebacks."""

import logging

import pytest

from hqgan.app.sentences import UNEXPECTED, sentence, spoken
from hqgan.errors import DataError, HqganError, RunError


def test_known_paths_become_words_and_unknown_ones_vanish() -> None:
    error = DataError("/tmp/s-1/data/mel is empty, see /srv/me/notes.txt or ~/x/y; C:\\a\\b too")
    text = sentence(error, {"/tmp/s-1/data": "your zip"})
    assert text == (
        "Your zip/mel is empty, see (a file of the server) or (a file of the server); "
        "(a file of the server) too."
    )


def test_what_only_looks_like_a_path_stays() -> None:
    words = "70/10/20 by image, and/or 3 images/s; use --data YOUR-IMAGES, hqgan[app]."
    assert sentence(HqganError(words)) == words


def test_a_sentence_has_a_capital_and_an_end() -> None:
    assert sentence(RunError("no\n  snapshot")) == "No snapshot."


def test_an_explained_error_is_shown_as_text_and_not_as_markup() -> None:
    gradio = pytest.importorskip("gradio")

    @spoken
    def handler(value: int) -> None:
        raise DataError(f"class <b>{value}</b> is empty")

    with pytest.raises(gradio.Error) as shown:
        handler(3)
    assert shown.value.message == "Class &lt;b&gt;3&lt;/b&gt; is empty."


def test_anything_else_goes_to_the_log_alone(caplog: pytest.LogCaptureFixture) -> None:
    gradio = pytest.importorskip("gradio")

    @spoken
    def handler() -> None:
        raise KeyError("/secret/path")

    with caplog.at_level(logging.ERROR, "hqgan.app"), pytest.raises(gradio.Error) as shown:
        handler()
    assert shown.value.message == UNEXPECTED
    assert "/secret/path" in caplog.text
