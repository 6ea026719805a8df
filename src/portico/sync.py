"""Locks, events, queues and tasks for code above the engines; the same on every engine."""

from portico.engines.door import THREADS, Task, run_blocking, sleep, spawn
from portico.engines.locks import Event, Guard, Lock, Queue
from portico.engines.tasks import TaskGroup

__all__ = [
    "Event",
    "Guard",
    "Lock",
    "Queue",
    "Task",
    "TaskGroup",
    "run_blocking",
    "sleep",
    "spawn",
    "spawn_thread",
]

spawn_thread = THREADS.spawn
"""As ``spawn``, in a thread of its own on every engine: for what waits for disks and the like."""
