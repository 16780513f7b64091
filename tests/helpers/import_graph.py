"""Counts the modules, rooms and imports of a checkout.

python -m tests.helpers.import_graph            # of this checkout
python -m tests.helpers.import_graph FOLDER     # of another, such as an older one
"""

import ast
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.helpers.paths import ROOT

PACKAGES = ("vgg_keras", "data_prep", "benchmarks")

Graph = Mapping[str, set[str]]


def find_modules(root: Path) -> dict[str, Path]:
    """Returns {dotted name: file} of every module of the packages; a package's `__init__` has the package's name."""
    found = {}
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def module_imports(root: Path) -> Graph:
    """Returns {module: modules of the packages that it imports, at the top or inside functions}."""
    modules = find_modules(root)
    found = {}
    for module, path in modules.items():
        names = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert not node.level, f"{path}:{node.lineno}: name the module in full, not relative to its package"
                assert node.module
                # `from package import module` imports the module, `from module import name` the one that it names.
                submodules = {f"{node.module}.{alias.name}" for alias in node.names} & modules.keys()
                names |= submodules or {node.module}
            elif isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
        found[module] = (names & modules.keys()) - {module}
    return found


def room_of(module: str) -> str:
    """Returns the room of a module: its subpackage of `vgg_keras`, the module itself, or the other package."""
    parts = module.split(".")
    if parts[0] != "vgg_keras":
        return parts[0]
    return ".".join(parts[:2])


def room_imports(imports: Graph) -> Graph:
    """Returns {room: other rooms that its modules import}."""
    rooms: dict[str, set[str]] = {}
    for module, needs in imports.items():
        room = room_of(module)
        rooms.setdefault(room, set()).update({room_of(needed) for needed in needs} - {room})
    return rooms


def find_cycle(graph: Graph) -> list[str]:
    """Returns the nodes that lie on a cycle or lead to one; [] if the graph has no cycle."""
    left = {node: set(needs) for node, needs in graph.items()}
    while leaves := [node for node, needs in left.items() if not needs & left.keys()]:
        for leaf in leaves:
            del left[leaf]
    return sorted(left)


def longest_chain(graph: Graph) -> list[str]:
    """Returns the longest chain of imports, from the top down; imports that close a cycle are left out."""
    known: dict[str, list[str]] = {}

    def chain(node: str, above: tuple[str, ...]) -> list[str]:
        if node not in known:
            below = [chain(needed, (*above, node)) for needed in sorted(graph[node]) if needed not in (*above, node)]
            known[node] = [node, *max(below, key=len, default=[])]
        return known[node]

    return max((chain(node, ()) for node in sorted(graph)), key=len)


def main(root: Path) -> None:
    """Prints the counts of the checkout in a folder."""
    imports = module_imports(root)
    rooms = room_imports(imports)
    at_top = [path for path in (root / "vgg_keras").glob("*.py") if path.name != "__init__.py"]
    chain = longest_chain(rooms)
    print(f"modules: {len(imports)}; directly in vgg_keras/: {len(at_top)}")
    print(f"rooms: {len(rooms)}; imports between modules: {sum(map(len, imports.values()))}")
    print(f"imports between rooms: {sum(map(len, rooms.values()))}")
    print(f"longest chain of rooms: {len(chain)}: {' > '.join(chain)}")
    print(f"rooms on a cycle: {', '.join(find_cycle(rooms)) or 'none'}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT)
