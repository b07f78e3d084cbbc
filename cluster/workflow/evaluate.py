"""What a finished run is worth: its held-out scores, spans that it filled in, and a report to look at."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.runs.folder import RunFolder, settings_of
from cluster.runs.report import FilledSpan, write_run_report
from cluster.runs.scores import Score, held_out_scores, read_metrics
from cluster.settings import PretrainSettings
from pipelines.corpus.reader import Corpus
from pipelines.corpus.shards import write_text
from pipelines.errors import JobError

SCORES, REPORT = "scores.json", "report.html"


@dataclass(frozen=True)
class Evaluated:
    """Held-out scores with their baselines, filled spans, and where the report is."""

    scores: list[Score]
    spans: list[FilledSpan]
    report: Path


def evaluate(run: Path, out: Path, facts: Iterable[tuple[str, object]] = ()) -> Evaluated:
    """Write `scores.json` and `report.html` of a finished run to the folder `out`; no scores where nothing is held out.

    Args:
        run: folder of a run that has its model.
        out: where to; made where absent.
        facts: further lines about the run for the report.

    Raises:
        UsageError: there is no run, or its corpus is gone.
        JobError: pages are held out, and the run has no held-out line.
    """
    from cluster.training.assemble import assemble

    settings = settings_of(RunFolder(run))
    corpus = Corpus.open(settings.corpora[0].path)
    training, evaluations = read_metrics(run)
    index = assemble(settings).store.index
    scores: list[Score] = []
    spans: list[FilledSpan] = []
    if index.held_out_pages:
        if not evaluations:
            raise JobError(f"{run / 'metrics.jsonl'} has no held-out line; the run ended before its evaluation")
        spans, vocabulary = _fill_masked_spans(run, corpus, settings, index.held_out_bound)
        grid = corpus.manifest["settings"]
        cells = int(grid["grid_rows"]) * int(grid["grid_columns"])
        # A weight of 0 switches an objective off, too.
        trained = [task for task in settings.objectives.tasks if settings.model.get(f"loss_weight_{task}", 1)]
        scores = held_out_scores(evaluations, cells, vocabulary, trained)
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / SCORES, json.dumps([score.as_dict() for score in scores], indent=2) + "\n")
    report = write_run_report(
        corpus,
        out / REPORT,
        training=training,
        evaluations=evaluations,
        scores=scores,
        spans=spans,
        run_facts=[*_settings_facts(settings), *facts],
    )
    return Evaluated(scores, spans, report)


def _fill_masked_spans(
    run: Path, corpus: Corpus, settings: PretrainSettings, bound: int
) -> tuple[list[FilledSpan], int]:
    """One masked span on each of three held-out pages, filled in by the exported model; entries of its tokenizer."""
    from transformers.utils.logging import disable_progress_bar

    from cluster.runs.filled_spans import fill_spans
    from cluster.samples.held_out import is_held_out
    from model.docformer import DocFormerV2ForConditionalGeneration
    from model.sample import SampleBuilder
    from model.tokenizer import WordTokenizer, load_tokenizer

    disable_progress_bar()
    model = DocFormerV2ForConditionalGeneration.from_pretrained(run / "model")
    tokenizer = load_tokenizer(run / "model")
    picture = (model.config.image_height, model.config.image_width)
    builder = SampleBuilder(WordTokenizer(tokenizer), settings.objectives, picture)
    # Without denoising no page has a masked span: none is looked for.
    rows = corpus.rows() if settings.objectives.denoising else ()
    held_out = (row for row in rows if is_held_out(row["doc_id"], bound))
    return fill_spans(model, tokenizer, builder, held_out, seed=settings.seed), len(tokenizer)


def _settings_facts(settings: PretrainSettings) -> Sequence[tuple[str, Any]]:
    shown = ("preset", "workers", "zero", "global_batch_pages", "learning_rate", "seed")
    return [(name.replace("_", " ").capitalize(), getattr(settings, name)) for name in shown]
