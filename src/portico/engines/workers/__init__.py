"""The engines that have processes: ``workers`` and ``forks``.

::

    the server's process   engine · fresh (or a fork) · channel
    the supervisor         supervisor · staff · slots · plan · scoreboard · loop · children
    a worker               worker, with any engine inside, or forking
"""

from portico.engines.workers.engine import Forks, Workers

__all__ = ["Forks", "Workers"]
