"""How many pages a plan reckons with, and in words where that number is from."""

from cluster.planning.settings import PlanSettings
from cluster.samples.mixture import WeightedCorpus
from pipelines.corpus.reader import MANIFEST, read_manifest
from pipelines.folders.address import folder_of

PAPER_PAGES = 64_000_000


def planned_pages(plan: PlanSettings, corpora: tuple[str, ...], named: bool, sampled: float | None) -> tuple[int, str]:
    """Pages and their origin: those of the settings, of a sample of the sources, of the corpora, or of the paper.

    Args:
        plan: its `pages` win over all else.
        corpora: of the run.
        named: whether the configuration names them; else they are where a run would look by default.
        sampled: pages that a sample of the sources says will be taken, if one was read.
    """
    if plan.pages:
        return plan.pages, "as given (plan.pages)"
    if sampled is not None:
        return max(1, round(sampled)), "of --sources, told from a sample of them"
    folders = [folder_of(WeightedCorpus.parse(text).path) for text in corpora]
    there = [folder for folder in folders if folder.exists(MANIFEST)]
    places = ", ".join(folder.address for folder in there)
    if not there:
        why = "no corpus of pretrain.corpus is here" if named else "pretrain.corpus is not set"
        return PAPER_PAGES, f"as many as the paper pretrains on, because {why}; --pages N says how many there are"
    pages = sum(int(read_manifest(folder)["totals"]["pages"]) for folder in there)
    if not named:
        return pages, f"of {places}, which is here; pretrain.corpus is not set, and --pages N says another number"
    absent = ", ".join(folder.address for folder in folders if folder not in there)
    return pages, f"of {places} (pretrain.corpus)" + (f"; not here, and not counted: {absent}" if absent else "")
