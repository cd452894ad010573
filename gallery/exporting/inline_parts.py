"""JSON and scripts that stand in a page itself."""

import base64
import hashlib
import json
from typing import Any


def as_json(data: Any) -> str:
    """Return JSON in which no text can end the element of a page that it is in."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def policy_hash(text: str) -> str:
    """Return by what a Content-Security-Policy admits a script or a style."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
