"""Backends: what is kept for each event id, as rows (`dataframes`) or as features of variables (`trackers`)."""

from actors.persistency.event_data_structures.base import EventDataStructure

__all__ = ["EventDataStructure"]
