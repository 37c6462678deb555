"""`event_data_structures` under the name that it has in DetectMate 0.6.1: the same modules, not copies of them.

A copy would bring every class twice, and `isinstance` would tell the two apart.
"""

import sys
from importlib import import_module

from actors.persistency.event_data_structures import base, trackers

__all__ = ["base", "trackers"]

_MODULES = {
    "base": "event_data_structures.base",
    "trackers": "event_data_structures.trackers",
    "trackers.base": "event_data_structures.trackers.base",
    "trackers.base.event_tracker": "event_data_structures.trackers.base.event_tracker",
    "trackers.base.multi_tracker": "event_data_structures.trackers.base.multi_tracker",
    "trackers.base.single_tracker": "event_data_structures.trackers.base.single_tracker",
    "trackers.rle_list": "rle_list",
    "trackers.stability": "event_data_structures.trackers.stability",
    "trackers.stability.classification_methods": "event_data_structures.trackers.stability.classification_methods",
    "trackers.stability.stability_classifier": "event_data_structures.trackers.stability.stability_classifier",
    "trackers.stability.stability_tracker": "event_data_structures.trackers.stability.stability_tracker",
}

for _tail, _ours in _MODULES.items():
    sys.modules[f"{__name__}.{_tail}"] = import_module(f"actors.persistency.{_ours}")
