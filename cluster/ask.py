"""Questions to a PDF or a picture: its pages are read as for a corpus, isolated, and then the model is asked."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from model.answers import Answer, Page, answer
from model.docformer import DocFormerV2ForConditionalGeneration
from model.hub_name import is_path, on_disk_only
from model.processor import DocFormerV2Processor
from pipelines.errors import UsageError
from pipelines.pages.isolation import twice
from pipelines.pages.rows import PageMaker
from pipelines.progress import Progress
from pipelines.quarantine import DropError, Reason
from pipelines.settings import CorpusSettings
from pipelines.sources.sniff import sniff


@dataclass(frozen=True)
class ReadDocument:
    """Pages that could be read.

    Attributes:
        pages: what the model is given of each.
        numbers: of each, its place in the document, 1 for the first.
        complaints: a line for each page that has no picture, or no text because it could not be read.
    """

    pages: list[Page]
    numbers: list[int]
    complaints: list[str]


def read_document(path: Path, settings: CorpusSettings) -> ReadDocument:
    """The pages of a PDF, PNG, JPEG or TIFF, words and boxes as a corpus build with `settings` reads them.

    A page without text, or whose text cannot be read, is still asked: by its picture alone.

    Raises:
        UsageError: the file cannot be read or opened, or not one of its pages has a picture.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); give a PDF, PNG, JPEG or TIFF file") from None
    kind = sniff(path.name, data)
    if kind is None:
        raise UsageError(f"{path}: is no PDF, PNG, JPEG or TIFF; give one of these")
    maker = PageMaker(settings)
    try:
        return _read(path, data, kind, maker)
    finally:
        maker.close()


def _read(path: Path, data: bytes, kind: str, maker: PageMaker) -> ReadDocument:
    try:
        count = twice(lambda: maker.reader.open(data, kind))
    except DropError as error:
        locked = "; give --password-file a text file with its password" if error.reason == Reason.ENCRYPTED else ""
        raise UsageError(f"{path}: cannot be opened ({error.reason}: {error.detail}){locked}") from None
    found = ReadDocument([], [], [])
    with Progress("reading", count, "page") as progress:
        for index in range(count):
            try:
                page = _read_page(maker, index, found.complaints)
            except DropError as error:
                found.complaints.append(f"page {index + 1} is left out ({error.reason}: {error.detail})")
            else:
                found.pages.append(page)
                found.numbers.append(index + 1)
            progress.advance()
    if not found.pages:
        raise UsageError(f"{path}: not one of its {count} pages can be drawn; {found.complaints[0]}")
    return found


def _read_page(maker: PageMaker, index: int, complaints: list[str]) -> Page:
    content = twice(lambda: maker.reader.read(index))
    try:
        labelled, content = maker.label(content, index)
    except DropError as error:
        complaints.append(f"page {index + 1} is asked by its picture alone ({error.reason}: {error.detail})")
        return Page(content.image)
    return Page(content.image, labelled.words, labelled.boxes.tolist())


def load_model(name: str) -> tuple[DocFormerV2ForConditionalGeneration, DocFormerV2Processor]:
    """A model and its processor from an exported folder, a finished run or the hub; on the GPU if there is one.

    Raises:
        UsageError: there is no model of that name, or its files are broken.
        ModelInputError: the folder holds no processor.
    """
    import torch

    folder = Path(name).expanduser()
    if is_path(name) and not folder.is_dir():
        what = "is a file" if folder.is_file() else "no such folder"
        raise UsageError(f"{name}: {what}; give what `docformer export` wrote, a run with a model, or a hub name")
    if (folder / "config.yaml").is_file() and not (folder / "config.json").is_file():
        if not (folder / "model").is_dir():
            raise UsageError(f"{folder}: this run has no model yet; write one: `docformer export {folder} --out DIR`")
        folder = folder / "model"
    chosen = str(folder) if folder.is_dir() else name
    alone = on_disk_only(chosen)
    try:
        model: Any = DocFormerV2ForConditionalGeneration.from_pretrained(chosen, local_files_only=alone)
    except (OSError, ValueError, TypeError, RuntimeError, SafetensorError) as error:  # whatever a broken file gives
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(f"{name}: holds no DocFormerV2 model ({reason}); give what `docformer export` wrote") from None
    model.eval().to("cuda" if torch.cuda.is_available() else "cpu")
    return model, DocFormerV2Processor.from_pretrained(chosen, local_files_only=alone)


def ask(
    model: DocFormerV2ForConditionalGeneration,
    processor: DocFormerV2Processor,
    document: ReadDocument,
    questions: Sequence[str],
    max_new_tokens: int,
) -> Iterator[Answer]:
    """The document's answer to each question; `page` counts from 1 in the document.

    Raises:
        ModelInputError: a question does not fit the model's text positions.
    """
    for question in questions:
        found = answer(model, processor, document.pages, question, max_new_tokens)
        yield Answer(found.text, document.numbers[found.page], found.score)
