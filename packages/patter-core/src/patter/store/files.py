"""The file of a store."""

from __future__ import annotations

import os

__all__ = ["create_private"]


def create_private(path: str) -> None:
    """Create a file, if there is none, that only its owner may read: it holds what tools send, such as keys.

    Raises:
        OSError: it cannot be created or opened.
    """
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
