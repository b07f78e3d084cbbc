"""`docformer ask`: answers from a PDF or a picture."""

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

from cluster.commands.command import add_command, add_config, add_json
from cluster.options import add_flags, load_settings
from pipelines.settings import CorpusSettings

# How a page is read; what only a corpus needs (grid, shards, filters) is not asked for here.
READING = frozenset(
    {"ocr", "ocr_dpi", "min_ocr_confidence", "doctr_detection", "doctr_recognition", "doctr_weights", "password_file"}
)
# Each new token attends to all before it: beyond this an answer takes minutes, and none is that long.
MOST_NEW_TOKENS = 1024


def register(commands: Any) -> None:
    """Add the `ask` command."""
    ask = add_command(
        commands,
        "ask",
        run,
        "Ask a model about a PDF, PNG, JPEG or TIFF: every page is asked, the surest answer is given.",
        'docformer ask model invoice.pdf "What is the total?" "Who is the seller?"',
    )
    ask.add_argument("model", metavar="MODEL", help="exported model, run with a model, or hub name")
    ask.add_argument("file", type=Path, metavar="FILE", help="PDF, PNG, JPEG or TIFF")
    ask.add_argument("questions", nargs="+", metavar="QUESTION")
    ask.add_argument("--max-new-tokens", type=int, default=32, metavar="N", help="tokens of an answer (default: 32)")
    add_config(ask)
    add_json(ask)
    add_flags(ask, CorpusSettings, skip=frozenset(CorpusSettings.model_fields) - READING)


def run(args: argparse.Namespace) -> int:
    """Print an answer a question."""
    from transformers.utils.logging import disable_progress_bar

    from cluster.ask import ask, load_model, read_document
    from pipelines.errors import UsageError

    if not 1 <= args.max_new_tokens <= MOST_NEW_TOKENS:
        raise UsageError(f"--max-new-tokens {args.max_new_tokens}: give 1 to {MOST_NEW_TOKENS}")
    if blank := [question for question in args.questions if not question.strip()]:
        raise UsageError(f"a question is empty ({blank[0]!r}); give each question in quotes")
    disable_progress_bar()
    settings = load_settings(CorpusSettings, "corpus", args.config, vars(args), besides=frozenset({"sources", "out"}))
    model, processor = load_model(args.model)
    document = read_document(args.file, settings)
    for complaint in document.complaints:
        print(complaint, file=sys.stderr)
    answers = ask(model, processor, document, args.questions, args.max_new_tokens)
    results = [
        {"question": question, "answer": found.text, "page": found.page, "probability": math.exp(found.score)}
        for question, found in zip(args.questions, answers, strict=True)
    ]
    if args.json:
        print(json.dumps({"file": str(args.file), "answers": results}, indent=2, ensure_ascii=False))
        return 0
    for result in results:
        print(f"{result['question']}\n  {result['answer'] or '(no answer)'}", end="")
        print(f"   [page {result['page']}, {result['probability']:.0%} a token]")
    return 0
