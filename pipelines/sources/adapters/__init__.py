"""Public corpora as they are published, one file each; `--adapter NAME` chooses one for all SOURCEs of a build."""

from collections.abc import Mapping

from pipelines.sources.adapters.adapter import Adapter
from pipelines.sources.adapters.arxiv import Arxiv
from pipelines.sources.adapters.govdocs import GovDocs
from pipelines.sources.adapters.idl import Idl
from pipelines.sources.adapters.pdfa import Pdfa
from pipelines.sources.adapters.pmc import Pmc
from pipelines.sources.adapters.safedocs import SafeDocs

ADAPTERS: Mapping[str, Adapter] = {
    adapter.name: adapter for adapter in (Adapter(), SafeDocs(), GovDocs(), Pdfa(), Idl(), Arxiv(), Pmc())
}


def adapter_of(name: str) -> Adapter:
    """The adapter called `name`; "none" changes nothing."""
    return ADAPTERS[name]
