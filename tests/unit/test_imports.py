"""No module of the house imports itself, by whatever way round: import-linter holds the layers, this what is in one."""

from graphlib import CycleError, TopologicalSorter

import grimp

PACKAGES = ("ingest_fn", "worker_fn", "shared", "partners", "testkit", "ops", "infra", "bench")


def test_no_import_goes_in_a_circle() -> None:
    """Also not where it is for types alone, or stands in a function: what needs each other is one thing."""
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    circle: list[str] = []
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        circle = error.args[1]
    assert circle == []
