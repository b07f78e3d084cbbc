"""Why a document or page was not taken: a closed list of reasons, each documented here."""

from enum import StrEnum


class Reason(StrEnum):
    """Reasons of the quarantine table."""

    ENCRYPTED = "encrypted"  # needs a password that was not given
    BROKEN = "broken"  # the PDF library cannot open it
    NO_PAGES = "no-pages"  # opens, and has no page
    UNREADABLE = "unreadable"  # the file itself cannot be read
    PAGE_BROKEN = "page-broken"  # the PDF library fails on this page
    NO_TEXT = "no-text"  # neither a text layer nor anything that OCR could read
    UNTRUSTED_TEXT = "untrusted-text"  # the text layer is not what the page shows, and OCR was not allowed
    POOR_OCR = "poor-ocr"  # read, but too uncertain to learn from
    TIMEOUT = "timeout"  # over its wall-time limit twice
    OCR_FAILED = "ocr-failed"  # the OCR engine reported an error
    MEMORY_LIMIT = "memory-limit"  # over its address-space limit
    CRASHED = "crashed"  # the process that read it died
    TOO_LARGE = "too-large"  # more bytes, pages, or a larger page than the limits allow
    INTERNAL = "internal"  # an error of ours; please report it


class DropError(Exception):
    """A document or page that is not taken.

    Attributes:
        reason: one of the closed list.
        detail: what was seen, one line.
        stage: of the page's way that it got to: read, ocr or label.
    """

    def __init__(self, reason: Reason, detail: str = "", stage: str = "read") -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason = reason
        self.stage = stage
        self.detail = " ".join(detail.split())[:500]
