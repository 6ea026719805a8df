"""Locks, events, queues and tasks for code above the engines; the same on every engine."""

from portico.engines.door import Task, run_blocking, sleep, spawn
from portico.engines.locks import Event, Lock, Queue

__all__ = ["Event", "Lock", "Queue", "Task", "run_blocking", "sleep", "spawn"]
