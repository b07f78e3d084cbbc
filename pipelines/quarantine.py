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
    CPU_LIMIT = "cpu-limit"  # over its limit on processor time
    OCR_FAILED = "ocr-failed"  # the OCR engine reported an error
    MEMORY_LIMIT = "memory-limit"  # over its address-space limit
    CRASHED = "crashed"  # the process that read it died twice
    TOO_LARGE = "too-large"  # more bytes, pages, or a larger page than the limits allow
    UNSAFE_MEMBER = "unsafe-member"  # an archive's member that is a link or device, or whose name climbs or is absolute
    ARCHIVE_BOMB = "archive-bomb"  # an archive's member that unpacks to more than the limits allow, or overlaps another
    ARCHIVE_BROKEN = "archive-broken"  # the archive is damaged here; one row stands for what can no longer be told
    NESTED_ARCHIVE = "nested-archive"  # an archive in an archive, which is not opened
    DIGEST_MISMATCH = "digest-mismatch"  # its sha256 is not the one that the manifest or the corpus gives
    INTERNAL = "internal"  # an error of ours; please report it


class FilterReason(StrEnum):
    """Reasons of quarantine rows of stage `filter`: pages that could be read and that a setting leaves out."""

    FEW_WORDS = "few-words"  # fewer than min_words
    MANY_WORDS = "many-words"  # more than max_words
    LANGUAGE = "language"  # in none of the languages asked for
    LOW_CONFIDENCE = "low-confidence"  # mean word confidence below min_confidence
    EVALUATION_OVERLAP = "evaluation-overlap"  # shares too much text with the pages to keep out
    DUPLICATE = "duplicate"  # the same words as an earlier page
    NEAR_DUPLICATE = "near-duplicate"  # nearly the same words as an earlier page


class DropError(Exception):
    """A document or page that is not taken.

    Attributes:
        reason: one of the closed lists.
        detail: what was seen, one line.
        stage: of the page's way that it got to: read, ocr, label or filter.
    """

    def __init__(self, reason: StrEnum, detail: str = "", stage: str = "read") -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason = reason
        self.stage = stage
        self.detail = " ".join(detail.split())[:500]
