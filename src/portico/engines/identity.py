"""Which thread this is, for what must stay in the one that made it."""

from threading import get_ident

__all__ = ["get_ident"]
