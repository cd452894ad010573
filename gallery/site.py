"""What the server is told when it starts."""

import hashlib
import hmac
from dataclasses import dataclass

from gallery.actions import Actions
from storage.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One gallery, as `nightsweep view` starts it.

    Attributes:
        settings: Where database and images are.
        actions: What only commands can do.
        token: The secret that people log in with, and from which others are derived.
        needs_login: Whether people must log in.
        hosts: Names and addresses that a browser may reach the server by, lower case,
            without port; IPv6 addresses without brackets.
        read_only: Whether every change is refused.
        who: Whose ratings and votes these are.
    """

    settings: Settings
    actions: Actions
    token: str
    needs_login: bool
    hosts: tuple[str, ...]
    read_only: bool
    who: str

    @property
    def page_token(self) -> str:
        """What a page sends with each change, to show that it is ours."""
        return self._derive("page")

    @property
    def cookie_name(self) -> str:
        """Name of the cookie of people who logged in; other galleries have others."""
        return f"nightsweep_{self._derive('name')[:8]}"

    @property
    def cookie(self) -> str:
        """Value of that cookie, from which the token cannot be told."""
        return self._derive("cookie")

    def _derive(self, purpose: str) -> str:
        key = self.token.encode()
        return hmac.new(key, purpose.encode(), hashlib.sha256).hexdigest()
