"""The floors of the house, as data, and a reader of imports that holds code against them.

Every import counts: at the head of a module, inside a function, under ``TYPE_CHECKING``, and
``import_module("portico...")``. A name known only to the type checker counts for the floors, because
whoever has to know a type from above depends on it; it does not count as use of machinery, because an
annotation such as ``ssl.SSLContext`` cannot make a hub wait.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Import", "Tree", "floor_of", "unit_of", "violations"]

FLOORS: tuple[frozenset[str], ...] = (
    frozenset(
        {
            "compiled",
            "errors",
            "figures",
            "late",
            "limits",
            "deadline",
            "address",
            "pace",
            "unnamed",
            "filenames",
            "unpacking",
            "charsets",
        }
    ),
    frozenset({"engines", "sockets", "sync"}),
    frozenset({"server", "entrance", "served", "binding", "admission", "refusals", "signals", "wires"}),
    frozenset({"http", "ftp", "smtp", "rpc"}),
    frozenset({"web", "client", "data", "site", "cluster", "capture", "compat"}),
    frozenset({"testing", "dashboard", "cli"}),
    frozenset({"aio", "public", "", "__main__"}),  # "" is portico/__init__.py, which loads public
)
PROTOCOLS = FLOORS[3]
"""Folders of one floor that do not know each other; elsewhere on a floor, only circles are refused."""
PROTOCOL_PAIRS = {("rpc", "http")}
ENTANGLED = FLOORS[1]
"""An engine waits for sockets and a socket waits at an engine's door: this circle is the design."""

MACHINERY = frozenset(
    {"_socket", "_ssl", "_thread", "asyncio", "concurrent", "gevent", "greenlet", "multiprocessing", "queue"}
    | {"select", "selectors", "socket", "socketserver", "ssl", "threading", "uvloop"}
)
"""What waits, or makes something that waits, without Portico's door."""
MAY_USE_MACHINERY = frozenset({"engines", "sockets", "aio", "compat", "capture"})
FORKS = frozenset({"fork", "forkpty"})

HTTP_CODECS = frozenset({"codec", "heads", "framing", "chunks", "messages"})
NOT_IN_CODECS = MACHINERY | {"time", "os", "logging"}


@dataclass(frozen=True)
class Import:
    """One imported name, as ``target``, where it stands, and whether only a type checker sees it."""

    module: str
    line: int
    target: str
    typing_only: bool


@dataclass
class Tree:
    """The modules of a package, parsed: ``{"portico.http.codec": ast}``."""

    modules: dict[str, ast.Module]
    packages: set[str] = field(default_factory=set)
    _found: dict[str, list[Import]] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Tree:
        """The package ``folder`` (named ``portico``) on disk."""
        sources = {}
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder.parent).with_suffix("").parts
            sources["/".join(parts)] = path.read_text(encoding="utf-8")
        return cls.parse(sources)

    @classmethod
    def parse(cls, sources: Mapping[str, str]) -> Tree:
        """From ``{"portico/http/codec": source}``."""
        tree = cls({})
        for path, source in sources.items():
            name = path.replace("/", ".").removesuffix(".__init__")
            tree.modules[name] = ast.parse(source, filename=f"{path}.py")
            if path.endswith("__init__"):
                tree.packages.add(name)
        return tree

    def imports(self, module: str) -> list[Import]:
        """Every import of a module, with names from within Portico resolved to modules."""
        if module not in self._found:  # asked for many times, and slow to find
            self._found[module] = list(self._find(module))
        return self._found[module]

    def _find(self, module: str) -> Iterator[Import]:
        guarded = _typing_only(self.modules[module])
        for node in ast.walk(self.modules[module]):
            for target in self._targets(module, node):
                yield Import(module, getattr(node, "lineno", 0), target, node in guarded)

    def _targets(self, module: str, node: ast.AST) -> Iterator[str]:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = self._base(module, node)
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield inner if inner in self.modules or base.partition(".")[0] != "portico" else base
        elif isinstance(node, ast.Call):
            yield from _dynamic(node)

    def _base(self, module: str, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        package = module.split(".") if module in self.packages else module.split(".")[:-1]
        above = package[: len(package) - node.level + 1]
        return ".".join([*above, *filter(None, [node.module])])


def unit_of(module: str) -> str:
    """The folder or file directly under ``portico``: what has a floor."""
    return (*module.split("."), "")[1]


def floor_of(module: str) -> int | None:
    """The floor of a module; ``None`` where nobody gave it one."""
    return next((number for number, units in enumerate(FLOORS) if unit_of(module) in units), None)


def violations(tree: Tree) -> list[str]:
    """Whatever breaks the layering, one line each."""
    found = []
    for module, code in tree.modules.items():
        if floor_of(module) is None:
            found.append(f"{module}: has no floor; give it one in tests/layers.py")
        imports = list(tree.imports(module))
        found += [f"{module}:{one.line}: {reason}" for one in imports for reason in _judge(one)]
        found += [f"{module}:{line}: {reason}" for line, reason in _calls(module, code)]
    return found + _circles(tree) + _codec_reach(tree)


def _judge(one: Import) -> Iterator[str]:
    head = one.target.partition(".")[0]
    if head == "portico":
        yield from _upward(unit_of(one.module), unit_of(one.target), one)
    elif _is_codec(one.module) and head in NOT_IN_CODECS:
        yield f"a codec imports {one.target}"
    elif head in MACHINERY and unit_of(one.module) not in MAY_USE_MACHINERY and not one.typing_only:
        yield f"imports {one.target}; take it from portico.sync or the floors below"


def _upward(here: str, there: str, one: Import) -> Iterator[str]:
    mine, other = floor_of(one.module), floor_of(one.target)
    if mine is None or other is None or here == there:
        return
    if other > mine:
        yield f"imports {one.target} from floor {other}, above its own floor {mine}"
    elif {here, there} <= PROTOCOLS and (here, there) not in PROTOCOL_PAIRS:
        yield f"protocol {here} imports protocol {there}"


def _calls(module: str, code: ast.Module) -> Iterator[tuple[int, str]]:
    if unit_of(module) in MAY_USE_MACHINERY:
        return
    for node in ast.walk(code):
        if isinstance(node, ast.Attribute) and node.attr in FORKS:
            yield node.lineno, f"uses {node.attr}: processes are made by engines"
        elif isinstance(node, ast.ImportFrom) and node.module == "os":
            yield from ((node.lineno, f"imports os.{a.name}") for a in node.names if a.name in FORKS)
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            yield from (
                (node.lineno, "imports time.sleep, which stops a hub")
                for a in node.names
                if a.name == "sleep"
            )
        elif isinstance(node, ast.Attribute) and ast.unparse(node) == "time.sleep":
            yield node.lineno, "calls time.sleep, which stops a hub; portico.sync has one that does not"


def _circles(tree: Tree) -> list[str]:
    """Units of one floor that need each other, directly or around corners."""
    needs: dict[str, set[str]] = defaultdict(set)
    for module in tree.modules:
        for one in tree.imports(module):
            here, there = unit_of(module), unit_of(one.target)
            same_floor = one.target.startswith("portico.") and floor_of(module) == floor_of(one.target)
            if same_floor and here != there and not {here, there} <= ENTANGLED:
                needs[here].add(there)
    return [
        f"{unit}: is part of a circle of imports" for unit in sorted(needs) if unit in _reach(unit, needs)
    ]


def _codec_reach(tree: Tree) -> list[str]:
    """What a codec imports from its own folder is as pure as itself, or the codec is not pure."""
    found = []
    for module in tree.modules:
        if _is_codec(module):
            continue
        codec = next((c for c in tree.modules if _is_codec(c) and module in _own_folder(tree, c)), None)
        impure = [one for one in tree.imports(module) if one.target.partition(".")[0] in NOT_IN_CODECS]
        if codec:
            found += [f"{module}:{one.line}: imports {one.target}, and codec {codec} this" for one in impure]
    return found


def _own_folder(tree: Tree, codec: str) -> set[str]:
    needs: dict[str, set[str]] = defaultdict(set)
    for module in tree.modules:
        if unit_of(module) == unit_of(codec):
            targets = {one.target for one in tree.imports(module)}
            needs[module] = {t for t in targets if unit_of(t) == unit_of(codec) and t in tree.modules}
    return _reach(codec, needs)


def _reach(start: str, needs: Mapping[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    todo = list(needs.get(start, ()))
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += needs.get(name, ())
    return seen


def _is_codec(module: str) -> bool:
    folder, name = unit_of(module), module.rpartition(".")[2]
    return folder in PROTOCOLS and (name == "codec" or (folder == "http" and name in HTTP_CODECS))


def _typing_only(code: ast.Module) -> set[ast.AST]:
    found: set[ast.AST] = set()
    for node in ast.walk(code):
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            found.update(inner for statement in node.body for inner in ast.walk(statement))
    return found


def _dynamic(call: ast.Call) -> Iterator[str]:
    """``import_module`` and ``__import__`` of a literal; of an f-string, what is before its first hole."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if name not in ("import_module", "__import__") or not call.args:
        return
    argument = call.args[0]
    if isinstance(argument, ast.JoinedStr) and argument.values:
        argument = argument.values[0] if isinstance(argument.values[0], ast.Constant) else argument
    if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
        yield argument.value.rstrip(".")
