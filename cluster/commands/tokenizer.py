"""`docformer tokenizer train`: a SentencePiece vocabulary from a corpus."""

import argparse
from pathlib import Path
from typing import Any

from cluster.commands.command import add_command, at_least
from pipelines.errors import UsageError


def register(commands: Any) -> None:
    """Add the `tokenizer` commands."""
    parser = commands.add_parser("tokenizer", help="Train a SentencePiece vocabulary on a corpus")
    group = parser.add_subparsers(title="tokenizer commands", required=True, metavar="COMMAND")
    train = add_command(
        group,
        "train",
        run_train,
        "Train a SentencePiece unigram vocabulary in T5's layout (pad, eos, unk first; 100 sentinels last).",
        "docformer tokenizer train corpus --out tokenizer --vocab-size 8000",
    )
    train.add_argument("corpus", metavar="CORPUS")
    train.add_argument("--out", type=Path, required=True, metavar="DIR", help="new folder of the tokenizer")
    train.add_argument(
        "--vocab-size", type=at_least(1), default=32_000, metavar="N", help="pieces, sentinels not counted"
    )
    train.add_argument("--overwrite", action="store_true", help="replace the tokenizer that is in the folder")


def run_train(args: argparse.Namespace) -> int:
    """Train a tokenizer on a corpus's words."""
    from model.tokenizer import train_tokenizer
    from pipelines.corpus.reader import Corpus
    from pipelines.folders.blame import beside

    if args.out.exists() and any(args.out.iterdir()) and not args.overwrite:
        raise UsageError(f"{args.out}: already holds something; choose another folder or add --overwrite")
    corpus = Corpus.open(args.corpus)
    words = (row["words"] for row in corpus.rows(["words"]))
    with beside(args.out) as temporary:
        size = train_tokenizer(words, temporary, vocab_size=args.vocab_size)
        args.out.mkdir(exist_ok=True)
        for file in temporary.iterdir():
            file.replace(args.out / file.name)  # what else is in the folder stays
    print(f"wrote {args.out}: {size} entries with the sentinels")
    return 0
