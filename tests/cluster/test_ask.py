"""`docformer ask` on a PDF, a picture, pages without text, bad files; an untrained model answers nonsense."""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pymupdf
import pytest
import torch
from PIL import Image

from cluster.ask import read_document
from cluster.cli import main
from model import DocFormerV2Processor
from model.errors import ModelInputError
from model.hub_name import is_path
from model.tokenizer import load_tokenizer, train_tokenizer
from pipelines.settings import CorpusSettings
from tests.model.pages import small_model
from tests.model.rows import words_of
from tests.pipelines.hostile import encrypted


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ask") / "model"
    train_tokenizer([words_of(300, 1), ["what", "is", "the", "total", "?"] * 5], folder, vocab_size=80)
    processor = DocFormerV2Processor(load_tokenizer(folder), 32, 24, max_text_tokens=60)
    processor.save_pretrained(folder)
    small_model(3, vocab_size=len(processor.tokenizer), tie_word_embeddings=False).save_pretrained(folder)
    return folder


def pdf(path: Path, pages: list[str]) -> Path:
    document = pymupdf.open()
    for text in pages:
        document.new_page().insert_text((72, 72), text, fontsize=14)
    document.save(path)
    return path


def ask(capsys: pytest.CaptureFixture[str], *arguments: Any) -> dict[str, Any]:
    assert main(["ask", *map(str, arguments), "--json"]) == 0
    answers: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answers


def test_a_pdf_answers_each_question(capsys: pytest.CaptureFixture[str], model_folder: Path, tmp_path: Path) -> None:
    file = pdf(tmp_path / "a.pdf", ["The total is 12 euros", "A second page follows here", ""])
    answers = ask(capsys, model_folder, file, "What is the total ?", "Who ?", "--max-new-tokens", "5")["answers"]
    assert [answer["question"] for answer in answers] == ["What is the total ?", "Who ?"]
    assert all(1 <= answer["page"] <= 3 and 0 < answer["probability"] < 1 for answer in answers)


def test_a_picture_is_read_by_ocr(capsys: pytest.CaptureFixture[str], model_folder: Path, tmp_path: Path) -> None:
    page = pymupdf.open(pdf(tmp_path / "a.pdf", ["The total of this invoice is 12 euros"]))[0]
    page.get_pixmap(dpi=150).save(tmp_path / "a.png")
    document = read_document(tmp_path / "a.png", CorpusSettings(ocr="tesseract"))
    assert "invoice" in document.pages[0].words
    assert ask(capsys, model_folder, tmp_path / "a.png", "What ?")["answers"][0]["page"] == 1


@pytest.mark.parametrize("suffix", ["png", "pdf"])
def test_a_page_without_text_answers(
    capsys: pytest.CaptureFixture[str], model_folder: Path, tmp_path: Path, suffix: str
) -> None:
    file = tmp_path / f"blank.{suffix}"
    Image.new("RGB", (200, 300), "white").save(file)
    assert ask(capsys, model_folder, file, "What ?")["answers"][0]["page"] == 1


def test_an_untrusted_page_is_asked_by_its_picture(tmp_path: Path) -> None:
    file = pdf(tmp_path / "a.pdf", ["The total is 12 euros"])
    settings = CorpusSettings(ocr="tesseract", min_ocr_confidence=1.0)
    document = read_document(file, settings)
    assert not document.pages[0].words
    assert "page 1 is asked by its picture alone" in document.complaints[0]


def test_what_cannot_be_asked_is_one_line(
    capsys: pytest.CaptureFixture[str], model_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "note.txt").write_text("no document")
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.4 nothing else")
    (tmp_path / "empty").mkdir()
    file = pdf(tmp_path / "a.pdf", ["The total is 12 euros"])
    locked = tmp_path / "locked.pdf"
    locked.write_bytes(encrypted("secret"))
    for model, path, question, message in (
        (model_folder, tmp_path / "absent.pdf", "What ?", "absent.pdf: cannot be read"),
        (model_folder, tmp_path / "note.txt", "What ?", "is no PDF"),
        (model_folder, tmp_path / "broken.pdf", "What ?", "broken.pdf: "),
        (tmp_path / "empty", file, "What ?", "holds no DocFormerV2 model"),
        (model_folder, file, " ", "a question is empty"),
        (model_folder, file, "what is the total ? " * 30, "the question takes"),
        (f"{tmp_path}/runz/model", file, "What ?", "runz/model: no such folder"),
        (file, file, "What ?", "a.pdf: is a file"),
        (model_folder, locked, "What ?", "give --password-file"),
    ):
        assert main(["ask", str(model), str(path), question]) == 2
        error = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("reading: ")]
        assert len(error) == 1, error
        assert message in error[0]


def test_a_locked_pdf_is_opened_with_its_password(
    capsys: pytest.CaptureFixture[str], model_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "locked.pdf").write_bytes(encrypted("secret"))
    (tmp_path / "passwords.txt").write_text("another\nsecret\n")
    words = ("What ?", "--password-file", tmp_path / "passwords.txt")
    assert ask(capsys, model_folder, tmp_path / "locked.pdf", *words)["answers"][0]["page"] == 1


def test_a_long_question_has_one_complaint(model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours: transformers' speaks of a limit that is not the model's."""
    said: list[str] = []
    logger = logging.getLogger("transformers.tokenization_utils_base")
    monkeypatch.setattr(logger, "warning", lambda text, *_: said.append(text))
    processor = DocFormerV2Processor.from_pretrained(model_folder)
    processor.tokenizer.model_max_length = 10
    with pytest.raises(ModelInputError, match="the question takes"):
        list(processor.windows(["total"], "what is the total ? " * 30))
    assert said == []


def test_a_hub_name_is_told_from_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    assert [name for name in ("t5-small", "google/t5", "runz/model", "a.b") if is_path(name)] == []
    for name in ("./model", "../model", "~/model", "/model", "runz/first/model", "runs/modle", "runs", "model/"):
        assert is_path(name), name


def test_pickled_weights_are_not_loaded(capsys: pytest.CaptureFixture[str], model_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pickled"
    folder.mkdir()
    for file in model_folder.iterdir():
        if file.suffix != ".safetensors":
            (folder / file.name).write_bytes(file.read_bytes())
    torch.save(small_model(3).state_dict(), folder / "pytorch_model.bin")
    assert main(["ask", str(folder), str(pdf(tmp_path / "a.pdf", ["Some words"])), "What ?"]) == 2
    assert "holds no DocFormerV2 model" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("model.safetensors", b""),
        ("model.safetensors", b"\x08\0\0\0\0\0\0\0{}"),
        ("config.json", b"[]"),
        ("config.json", b'{"model_type": "docformerv2", "d_model": "abc"}'),
        ("processor_config.json", b"{"),
        ("processor_config.json", b"[]"),
    ],
)
def test_a_broken_model_folder_is_one_line(
    file: str, content: bytes, capsys: pytest.CaptureFixture[str], model_folder: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(model_folder, tmp_path / "broken")
    (folder / file).write_bytes(content)
    assert main(["ask", str(folder), str(pdf(tmp_path / "a.pdf", ["Some words"])), "What ?"]) == 2
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("docformer")]
    assert len(error) == 1
    assert "broken" in error[0]


@pytest.mark.parametrize("tokens", ["0", "9999"])
def test_an_answers_length_has_bounds(tokens: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ask", "model", "page.pdf", "What ?", "--max-new-tokens", tokens]) == 2
    assert f"--max-new-tokens {tokens}: give 1 to 1024" in capsys.readouterr().err
