"""The import paths of DetectMate 0.2 to 0.6: names for the modules of this package, and no modules of their own.

`event_data_structures...` is what the versions before 0.6.1 have, `data_structures...` what 0.6.1 has. A path that ends
in a module *is* that module, so that no class comes twice and `isinstance` cannot tell two apart. A path above such
modules gives the names that DetectMate gives there, each from its module when it is asked for: data frames need
packages that trackers do without.
"""

import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_PACKAGE = "actors.persistency"

_DATAFRAMES = {"ChunkedEventDataFrame": "chunked_event_dataframe", "EventDataFrame": "event_dataframe"}
_TRACKERS = {
    "Classification": "single_tracker",
    "EventTracker": "event_tracker",
    "MultiTracker": "multi_tracker",
    "SingleTracker": "single_tracker",
}
_STABILITY = {
    "ClassificationMethods": "classification_methods",
    "EventStabilityTracker": "stability_tracker",
    "MultiStabilityTracker": "stability_tracker",
    "SingleStabilityTracker": "stability_tracker",
    "StabilityClassifier": "stability_classifier",
}
_STRUCTURE = {"EventDataStructure": "event_data_structure", "EventDataset": "event_data_structure"}

_GROUPS: Mapping[str, Mapping[str, str]] = {
    "": _STRUCTURE,
    ".dataframes": _DATAFRAMES,
    ".trackers": _TRACKERS | _STABILITY,
    ".trackers.base": _TRACKERS,
    ".trackers.stability": _STABILITY,
}
"""Names by path, and the module of each."""

_MODULES: Mapping[str, str] = {
    ".base": "event_data_structure",
    ".dataframes.chunked_event_dataframe": "chunked_event_dataframe",
    ".dataframes.event_dataframe": "event_dataframe",
    ".trackers.base.event_tracker": "event_tracker",
    ".trackers.base.multi_tracker": "multi_tracker",
    ".trackers.base.single_tracker": "single_tracker",
    ".trackers.rle_list": "rle_list",
    ".trackers.stability.classification_methods": "classification_methods",
    ".trackers.stability.stability_classifier": "stability_classifier",
    ".trackers.stability.stability_tracker": "stability_tracker",
}
"""Paths that are modules of this package."""

_ROOTS = (f"{_PACKAGE}.event_data_structures", f"{_PACKAGE}.data_structures")

PATHS: Mapping[str, str | Mapping[str, str]] = {
    **{root + tail: names for root in _ROOTS for tail, names in _GROUPS.items()},
    **{root + tail: name for root in _ROOTS for tail, name in _MODULES.items()},
}
"""Every path: the module that it is, or the names that it gives."""


class _PathFinder(MetaPathFinder, Loader):
    """Finds the paths, and nothing else."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return what loads a path."""
        found = PATHS.get(fullname)
        return None if found is None else ModuleSpec(fullname, self, is_package=not isinstance(found, str))

    def exec_module(self, module: ModuleType) -> None:
        """Put the module that a path is in its place, or let it give names."""
        target = PATHS[module.__name__]
        if isinstance(target, str):
            sys.modules[module.__name__] = import_module(f"{_PACKAGE}.{target}")
            return
        names = target

        def find(name: str) -> Any:
            if name not in names:
                raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")
            return getattr(import_module(f"{_PACKAGE}.{names[name]}"), name)

        module.__dict__.update(__getattr__=find, __all__=sorted(names), __doc__=__doc__)


def install() -> None:
    """Let the paths be imported from now on."""
    if not any(isinstance(finder, _PathFinder) for finder in sys.meta_path):
        # First, because a directory that an earlier version has left behind must not be taken for a package.
        sys.meta_path.insert(0, _PathFinder())
