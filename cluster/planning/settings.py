"""Section `plan` of a configuration: the machines that are thought of, their prices, and the corpus."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class PlanSettings(BaseModel):
    """What a plan assumes; what a measurement can say replaces it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pages: int = Field(0, ge=0, description="pages of the corpus; 0: those of the corpus named, else 64 million")
    text_tokens: int = Field(0, ge=0, description="text positions of an average page; 0: as many as a sample may have")
    device: Literal["h200", "h100", "a100", "l40s", "l4", "cpu"] = Field("h200", description="what trains")
    devices_a_node: int = Field(8, ge=1, description="GPUs of one node")
    mfu: float = Field(0.0, ge=0, lt=1, description="share of the peak to reckon with; 0: our target for the preset")
    node_link_gbit: float = Field(400.0, gt=0, description="network of one node, gigabit a second")
    dollars_per_device_hour: float = Field(0.0, ge=0, description="price of a GPU, on demand; 0: a typical one")
    spot_dollars_per_device_hour: float = Field(0.0, ge=0, description="price of a GPU as spot; 0: a typical one")
    preemptions_per_node_hour: float = Field(0.05, ge=0, description="how often a spot node is taken away")
    node_return_s: float = Field(600.0, gt=0, description="until a lost node is replaced, seconds")
    restart_s: float = Field(45.0, ge=0, description="from a change of nodes to the next step, seconds")
    sample_share: float = Field(0.1, gt=0, le=1, description="share of the pages of --sources that is read to measure")
    reading_nodes: int = Field(8, ge=1, description="nodes that build the corpus")
    cores_a_reading_node: int = Field(64, ge=1, description="cores of one of them")
    dollars_per_core_hour: float = Field(0.04, ge=0, description="price of a core for an hour")
    text_pages_per_core_second: float = Field(30.0, gt=0, description="pages of a trusted text layer that a core makes")
    ocr_seconds_per_page: float = Field(3.0, gt=0, description="core seconds of a page that OCR must read")
    ocr_share: float = Field(0.15, ge=0, le=1, description="share of pages that OCR must read")
    bytes_per_page: float = Field(70_000.0, gt=0, description="of the corpus on disk")
    dollars_per_tb_month: float = Field(23.0, ge=0, description="price of the store")
