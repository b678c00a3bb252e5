"""Every error that a person is meant to read.

The message of a `HeadsmithError` is one sentence for a visitor of the web page: what
was wrong with which value, and what to do about it.  `ui/` shows it, `server/` turns it
into a status code; any other exception is a defect of ours and is logged with its
traceback.

    HeadsmithError
    ├── ImageError         an upload that is not a picture we can read
    ├── UploadError        a file that is not, or no longer, among the uploads
    ├── TemplateError      a prompt template without a place for the class
    ├── ClassNamesError    no class names, too many, or a file of them we cannot read
    ├── LabelListError     a shipped list that is unknown or malformed
    ├── ModelError         a model that is unknown, missing or damaged
    ├── HeadError          a head file that is damaged, or a head that is not there
    ├── ExportError        a format we do not write
    ├── LimitError         a client that asks for more than it may
    │   └── BusyError      more than the server can do at once
    └── Cancelled          a person pressed Cancel
"""

from __future__ import annotations


class HeadsmithError(Exception):
    """Base of all errors whose message is written for the person at the page."""

    def __str__(self) -> str:
        # It may quote what a visitor sent, and JSON can hold what UTF-8 cannot.
        return super().__str__().encode("utf-8", "replace").decode("utf-8")


class ImageError(HeadsmithError):
    """An upload that cannot become an upright RGB picture."""


class UploadError(HeadsmithError):
    """A path that names no upload."""


class TemplateError(HeadsmithError):
    """A prompt template that no class name can be put into."""


class ClassNamesError(HeadsmithError):
    """Class names that make no classifier: none at all, too many, or not text."""


class LabelListError(HeadsmithError):
    """A shipped label list that does not exist or breaks the format."""


class ModelError(HeadsmithError):
    """A model name that is unknown, or weights that cannot be loaded."""


class HeadError(HeadsmithError):
    """A head that does not exist any more, or a file that holds none."""


class ExportError(HeadsmithError):
    """A file format that heads or encoders cannot be written in."""


class LimitError(HeadsmithError):
    """More than one client may ask for.

    Attributes:
        seconds: until it may ask again.
    """

    def __init__(self, sentence: str, seconds: int) -> None:
        super().__init__(sentence)
        self.seconds = seconds


class BusyError(LimitError):
    """More than can be done at once, whoever asks."""

    def __init__(self, what: str, seconds: int = 10) -> None:
        super().__init__(
            f"The server is busy with {what}; try again in {seconds} seconds.", seconds
        )


class Cancelled(HeadsmithError):
    """Raised by a progress callback to stop work that nobody waits for any more."""
