"""Ends this process from outside if a library neither returns nor lets Python's other threads run.

TensorFlow's start in a cluster is such a call: if another worker dies meanwhile, it waits for ever, deaf to SIGTERM.
"""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping

# Waits for the end of its input, which comes with the end of the watched context or process; for the end of one of the
# connections; or for the end of the time.
_WATCH = """
import json, os, select, signal, sys
watched, seconds, names, late = int(sys.argv[1]), float(sys.argv[2]), json.loads(sys.argv[3]), sys.argv[4]
poll = select.poll()
poll.register(0, select.POLLIN)
for descriptor in names:
    poll.register(int(descriptor), getattr(select, "POLLRDHUP", 0))
ended = [descriptor for descriptor, _ in poll.poll(1000 * seconds)]
if 0 not in ended:
    what = f"{names[str(ended[0])]} has ended; its own output tells why" if ended else late
    print(f"error: {what}", file=sys.stderr, flush=True)
    os.kill(watched, signal.SIGKILL)
"""


@contextlib.contextmanager
def watchdog(connections: Mapping[int, str], seconds: float, late: str) -> Iterator[None]:
    """Kills this process, with a line on stderr, if a connection ends inside the context or the context takes too long.

    Args:
        connections: descriptor of each connected socket, and the name of its peer.
        seconds: number of seconds that the context may take.
        late: the line if it takes longer.
    """
    names = json.dumps({str(descriptor): name for descriptor, name in connections.items()})
    command = [sys.executable, "-I", "-S", "-c", _WATCH, str(os.getpid()), str(seconds), names, late]
    with subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=list(connections)):  # closes the pipe at its end
        yield
