"""Portico: the network stack a Python program needs, from a socket to a cluster.

Write a plain blocking function once; choose address, engine, wire and gateway where you plug it in.

The public names are those of ``portico.public``. They are loaded at first use, all at once: a program that
needs one module, as a CGI program does that starts anew for each request, does not wait for the rest.
"""

from importlib import import_module

from portico import late

TYPE_CHECKING = False  # as type checkers know it; the module of that name alone costs six milliseconds
if TYPE_CHECKING:
    __version__: str
    from portico.client.opener import open as open  # noqa: A004 - public, not in __all__: it would hide another
    from portico.public import *  # noqa: F403
    from portico.public import __all__ as __all__
else:
    # A client does not wait for what servers need. `open` is not in __all__: it would hide the built-in.
    _APART = dict.fromkeys("delete get head options patch post put request".split(), "portico.client.single")
    _APART |= {
        "open": "portico.client.opener",
        "Session": "portico.client.session",
        "URL": "portico.client.url",
    }

    def __getattr__(name: str) -> object:
        if name == "__version__":
            from importlib.metadata import version

            value = globals()[name] = version("portico")
            return value
        if name != "__all__":
            if name.startswith("_"):
                raise AttributeError(f"module 'portico' has no attribute {name!r}")
            try:  # a module of ours comes first: it may be asked for while what it needs is being loaded
                return import_module(f"portico.{name}")
            except ModuleNotFoundError as error:
                if error.name != f"portico.{name}":
                    raise
        if name in _APART:
            value = globals()[name] = getattr(import_module(_APART[name]), name)
            return value
        public = import_module("portico.public")
        if name != "__all__" and name not in public.__all__:
            raise AttributeError(f"module 'portico' has no attribute {name!r}")
        value = globals()[name] = getattr(public, name)
        return value

    def __dir__() -> list[str]:
        return list({*globals(), "__version__", *_APART, *import_module("portico.public").__all__})


late.WIRES.append("portico.web.gateways")
late.OPENERS.append("portico.client.opener")
