"""The engines that have processes: ``workers`` and ``forks``.

::

    the server's process   engine · link (a fork, or fresh)
    the supervisor         supervisor · reload · staff · slots
    a worker               worker, with any engine inside, or forking (forked)
    all of them            plan · channel · scoreboard · loop · children
"""

from portico.engines.workers.engine import Forks, Workers

__all__ = ["Forks", "Workers"]
