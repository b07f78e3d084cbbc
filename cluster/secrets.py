"""Secrets are given by reference: what looks like one is refused where a value would be written down."""

import re
from collections.abc import Mapping

SECRET_NAME = re.compile(r"TOKEN(_|$)|SECRET|PASSW|CREDENTIAL|PRIVATE|API_?KEY|ACCESS_?KEY|(^|_)KEY$", re.IGNORECASE)
# Values that are secrets whatever they are called: private keys, credentials inside an address, well-known key shapes.
SECRET_VALUE = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY|://[^/\s:@]+:[^/\s@]+@|\bAKIA[0-9A-Z]{16}\b|\bhf_\w{20,}|\bgh[pousr]_\w{20,}"
)
# Names that look like one and are none: a path to a secret is a reference.
REFERENCES = re.compile(r"_(PATH|FILE|MODE)$", re.IGNORECASE)


def plain_variables(values: Mapping[str, str]) -> Mapping[str, str]:
    """Return `values`, environment variables that may be written down.

    Raises:
        ValueError: a name or value looks like a secret; the message never holds the value.
    """
    for name, value in values.items():
        if (SECRET_NAME.search(name) and not REFERENCES.search(name)) or SECRET_VALUE.search(value):
            raise ValueError(
                f"{name} looks like a secret, which is never written down; refer to it instead (secret_env)"
            )
    return values
