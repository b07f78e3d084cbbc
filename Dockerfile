# docformer for clusters, with the tested version of every package.
#
#   docker build --build-arg DEVICE=cuda -t registry/docformer:0.1.0-cuda .
#   docker build --build-arg DEVICE=cpu  -t registry/docformer:0.1.0-cpu .
#
# Both hold the same packages: the CPU build of torch has no torchvision that fits it. cuda adds the compiler that Triton
# calls for its kernels, and asks the container runtime for the GPUs.
ARG DEVICE=cpu

FROM python:3.11.14-slim-bookworm AS cpu
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    DS_BUILD_OPS=0 \
    RAY_USAGE_STATS_ENABLED=0

FROM cpu AS cuda
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility

FROM ${DEVICE}
RUN useradd --create-home --uid 1000 docformer \
    && python -m venv /opt/venv
COPY requirements.txt /opt/docformer/requirements.txt
RUN pip install --no-deps --requirement /opt/docformer/requirements.txt
COPY pyproject.toml README.md /opt/docformer/
COPY pipelines /opt/docformer/pipelines
COPY model /opt/docformer/model
COPY cluster /opt/docformer/cluster
# In place, so that the pinned versions stay beside the packages.
RUN pip install --no-deps --editable /opt/docformer \
    && docformer --help > /dev/null
USER 1000:1000
WORKDIR /home/docformer
CMD ["docformer", "--help"]
