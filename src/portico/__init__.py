"""Portico: the network stack a Python program needs, from a socket to a cluster.

Write a plain blocking function once; choose address, engine, wire and gateway where you plug it in.

The public names are those of ``portico.public``. They are loaded at first use, all at once: a program that
needs one module, as a CGI program does that starts anew for each request, does not wait for the rest.
"""

from importlib import import_module

from portico import late

TYPE_CHECKING = False  # as type checkers know it; the module of that name alone costs six milliseconds
if TYPE_CHECKING:
    from portico.public import *  # noqa: F403
    from portico.public import __all__ as __all__
else:

    def __getattr__(name: str) -> object:
        public = import_module("portico.public")
        if name == "__all__" or name in public.__all__:
            return getattr(public, name)
        if name in globals():  # a module that the public ones have loaded
            return globals()[name]
        raise AttributeError(f"module 'portico' has no attribute {name!r}")

    def __dir__() -> list[str]:
        return [*globals(), *import_module("portico.public").__all__]


late.WIRES.append("portico.web.gateways")
