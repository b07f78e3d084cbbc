#!/usr/bin/env bash
# Installs the pinned packages into the virtual environment whose bin folder is $1.
# uv, itself installed from the package index, is several times faster than pip; pip is the fallback.
set -euo pipefail
bin=$1

"$bin/python" -m pip install --quiet --disable-pip-version-check uv || echo "uv could not be installed; pip goes on alone"
# uv does not read pip's configuration: hand it a mirror that this machine's pip is told to use.
mirror=$("$bin/python" -m pip config get global.index-url 2>/dev/null || true)
if [ -n "$mirror" ] && [ -z "${UV_DEFAULT_INDEX:-}" ]; then export UV_DEFAULT_INDEX=$mirror; fi

install() {
    if [ -x "$bin/uv" ] && VIRTUAL_ENV="$(dirname "$bin")" "$bin/uv" pip install --quiet --python "$bin/python" "$@"; then
        return
    fi
    "$bin/python" -m pip install --quiet --disable-pip-version-check "$@"
}

# DeepSpeed is published as source only; its compiled operators are not needed.
DS_BUILD_OPS=0 install --no-deps -r requirements.txt
# As a folder on the path: another form of editable package gives way to any folder named `model` that a user stands by.
install --no-deps --config-settings editable_mode=compat -e .

# Every worker process imports torch, transformers and Ray: compiled once here, it starts twice as fast, also where Python
# may not write its caches later.
env -u PYTHONDONTWRITEBYTECODE "$bin/python" -m compileall -q -j 0 "$("$bin/python" -c 'import site; print(site.getsitepackages()[0])')" \
    >/dev/null 2>&1 || true
