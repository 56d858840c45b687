"""Several threads that call at the same time."""

import threading


def run_concurrently(call, count):
    """call(0), call(1), ... on a thread each; all of them must come back within a minute."""
    callers = [threading.Thread(target=call, args=(index,), daemon=True) for index in range(count)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(60)
    assert not any(caller.is_alive() for caller in callers)
