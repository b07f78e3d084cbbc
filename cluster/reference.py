"""The sections of a configuration file and the settings classes behind them: what the reference pages are made from."""

from pydantic import BaseModel

from cluster.jobs.settings import SubmitSettings
from cluster.launch.settings import LaunchSettings
from cluster.planning.settings import PlanSettings
from cluster.settings import PretrainSettings
from cluster.workflow.settings import RunSettings, TokenizerSettings
from model.objectives.settings import ObjectiveSettings
from pipelines.pages.isolation import ReaderLimits
from pipelines.settings import CorpusSettings
from pipelines.sources.limits import SourceLimits

# Classes by the key under which they stand in their section, "" for the section itself; and what the section is for.
SECTIONS: dict[str, tuple[dict[str, type[BaseModel]], str]] = {
    "run": ({"": RunSettings}, "`docformer run`; its stages take their settings from the sections below."),
    "corpus": (
        {"": CorpusSettings, "limits": ReaderLimits, "source_limits": SourceLimits},
        "`docformer corpus build` and `update`; also `sources` (a list) and `out`, which are arguments there.",
    ),
    "tokenizer": ({"": TokenizerSettings}, "`docformer run`; `docformer tokenizer train` has a flag for it."),
    "pretrain": ({"": PretrainSettings, "objectives": ObjectiveSettings}, "`docformer pretrain`."),
    "plan": ({"": PlanSettings}, "`docformer plan`: what is assumed where nothing is measured."),
    "submit": ({"": SubmitSettings}, "`docformer submit`."),
    "launch": ({"": LaunchSettings}, "`docformer launch`."),
}
